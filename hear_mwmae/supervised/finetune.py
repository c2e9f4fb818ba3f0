"""`hear-mwmae finetune`: train a model with a classifier on labelled sound."""

from collections.abc import Sequence

from hear_mwmae.supervised.__main__ import main as main_of_mode


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status: 0, 2 (a mistake), 130, 143 or 129 (stopped)."""
    return main_of_mode(arguments, "finetune")
