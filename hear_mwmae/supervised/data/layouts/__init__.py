"""The layouts in which labelled data come, one file each; each reads its lists into a `Listing`."""
