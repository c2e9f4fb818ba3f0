"""One update, the run around it, and what it scores."""
