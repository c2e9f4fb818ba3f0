"""Findings about a task directory."""

from tasks.check.task import check_task

__all__ = ["check_task"]
