"""The encoder with a head on it."""
