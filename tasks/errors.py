"""The one exception of this package."""


class TaskError(ValueError):
    """A task, a clip or a raw recording is not what it should be.

    The message is one sentence for the user: which file, what is wrong with it, and the remedy.
    """
