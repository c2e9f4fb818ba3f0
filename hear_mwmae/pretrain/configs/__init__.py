"""The pre-training runs behind the papers' tables, one file per table, and small ones of our own; listed by

    hear-mwmae configs

A run is named `<table>:<run>`, for instance `table7:mw_mae_5x5`.
"""

from types import ModuleType

from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.configs import (
    audio_mae,
    small,
    table1,
    table2,
    table5,
    table7,
    table8,
    table9,
    table10,
)
from hear_mwmae.pretrain.configs.run import Run, tiny_run

__all__ = ["SETS", "TABLES", "Run", "find_run", "tiny_run"]

TABLES: dict[str, ModuleType] = {
    "table1": table1,
    "table2": table2,
    "table5": table5,
    "table7": table7,
    "table8": table8,
    "table9": table9,
    "table10": table10,
}
"""The MW-MAE paper's."""

SETS: dict[str, ModuleType] = TABLES | {"audio_mae": audio_mae, "small": small}
"""Every set of runs, the paper's tables first."""


def find_run(name: str, *, tiny: bool = False) -> Run:
    """Look a run up by `<table>:<run>`; `tiny` gives its variant for a CPU.

    Raises:
        UserError: no such table, or no such run in it.
    """
    table, _, row = name.partition(":")
    if table not in SETS:
        raise UserError(f"There is no table {table!r} of runs in {name!r}; use one of {', '.join(SETS)}.")
    runs = SETS[table].RUNS
    if row not in runs:
        choices = ", ".join(f"{table}:{known}" for known in runs)
        raise UserError(f"There is no run {name!r}; use one of {choices}.")
    return tiny_run(runs[row]) if tiny else runs[row]
