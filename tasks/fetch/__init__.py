"""Task directories from the archives of HEAR."""
