"""`hear-mwmae COMMAND`, also as `python -m hear_mwmae COMMAND`."""

import sys
from collections.abc import Sequence

from hear_mwmae.command import Command, run_named

COMMANDS = {
    "embed": Command("hear_mwmae.cli.embed", "embed sound files"),
    "models": Command("hear_mwmae.cli.models", "list the named models and where their weights are"),
    "show": Command("hear_mwmae.cli.show", "print a model file's shape and origin as JSON"),
    "convert": Command("hear_mwmae.cli.convert", "convert a released checkpoint"),
    "reconstruct": Command("hear_mwmae.cli.reconstruct", "show and play what a model puts in masked places"),
    "conceal": Command("hear_mwmae.cli.conceal", "fill lost packets of a recording"),
    "prepare": Command("hear_mwmae.cli.prepare", "turn a folder of sound into training data"),
    "pretrain": Command("hear_mwmae.pretrain.__main__", "pre-train a model, or go on with a run"),
    "finetune": Command("hear_mwmae.supervised.finetune", "train a model and a classifier on labelled sound"),
    "probe": Command("hear_mwmae.supervised.probe", "train linear probes of a frozen model"),
    "export": Command("hear_mwmae.cli.export", "write a run's checkpoint as a model file"),
    "configs": Command("hear_mwmae.pretrain.configs.__main__", "the papers' runs, and what each costs"),
    "overlap": Command("hear_mwmae.cli.overlap", "find evaluation recordings in training data"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands; return its exit status."""
    return run_named("hear-mwmae", "MAE, MW-MAE and Audio-MAE models of sound.", COMMANDS, arguments)


if __name__ == "__main__":
    sys.exit(main())
