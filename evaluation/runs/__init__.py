"""A run: planned, executed, estimated, checked and verified."""
