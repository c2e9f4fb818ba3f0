"""Sound to embeddings, in the content-addressed store."""
