"""One step over a device mesh, its optimiser, checkpoints and logs, and the loop around it."""
