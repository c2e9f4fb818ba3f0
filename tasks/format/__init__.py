"""A task directory: its files, clips, labels and metadata, read and written."""
