"""The one exception that means "the input is wrong", as opposed to "the program is wrong"."""


class UserError(ValueError):
    """A mistake in what was given: one sentence that names the thing and the remedy.

    The command line prints the sentence without a traceback and exits with status 2.
    """


def first_line(error: Exception, longest: int = 200) -> str:
    """Shorten what an exception says for a sentence: its first line, or its type if it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:longest]
