"""The pre-training runs behind the paper's tables, one file per table; all of them as one list:

    python -m hear_mwmae.pretrain.configs

A run is named `<table>:<run>`, for instance `table7:mw_mae_5x5`.
"""

from types import ModuleType

from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.configs import table1, table2, table5, table7, table8, table9, table10
from hear_mwmae.pretrain.configs.run import Run, tiny_run

__all__ = ["TABLES", "Run", "find_run", "tiny_run"]

TABLES: dict[str, ModuleType] = {
    "table1": table1,
    "table2": table2,
    "table5": table5,
    "table7": table7,
    "table8": table8,
    "table9": table9,
    "table10": table10,
}


def find_run(name: str, *, tiny: bool = False) -> Run:
    """Look a run up by `<table>:<run>`; `tiny` gives its variant for a CPU.

    Raises:
        UserError: no such table, or no such run in it.
    """
    table, _, row = name.partition(":")
    if table not in TABLES:
        raise UserError(f"There is no table {table!r} of runs in {name!r}; use one of {', '.join(TABLES)}.")
    runs = TABLES[table].RUNS
    if row not in runs:
        choices = ", ".join(f"{table}:{known}" for known in runs)
        raise UserError(f"There is no run {name!r}; use one of {choices}.")
    return tiny_run(runs[row]) if tiny else runs[row]
