"""Task directories from the original recordings, or from a table of the user's own."""

from tasks.build.builders import build_own_task, build_task

__all__ = ["build_own_task", "build_task"]
