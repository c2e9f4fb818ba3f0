"""Embeddings to predictions: configurations, splits, and the classifiers that are trained."""
