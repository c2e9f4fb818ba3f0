"""Synthetic miniatures of the ten tasks: sound that a seed makes."""

from tasks.sample.tasks import write_sample_tasks

__all__ = ["write_sample_tasks"]
