"""The one exception that stands for a user's mistake: its text is the sentence that the user reads."""


class EvaluationError(ValueError):
    """What is wrong with which file, module or option, and the remedy, in one sentence."""
