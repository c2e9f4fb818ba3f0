"""Evaluation of HEAR-API modules: embed, probe, score, tabulate.

`hear-eval` is the command, also as `python -m evaluation`; `from evaluation import evaluate, read_run` is the
same for notebooks and programs.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path


def _find_tasks() -> None:
    """Refuse a `tasks.py` or package of the user's that Python finds before ours, before it is run."""
    found = find_spec("tasks")
    if found is None or found.origin is None or (Path(found.origin).parent / "errors.py").is_file():
        return
    sentence = (
        f"{found.origin} hides the package `tasks` of this program; rename it, or start from another folder."
    )
    if sys.argv[0] == "-m":  # `python -m evaluation.run` is on its way to the command
        print(f"error: {sentence}", file=sys.stderr)
        raise SystemExit(2)
    raise ImportError(sentence)


if "tasks" not in sys.modules:
    _find_tasks()

__all__ = ["EvaluationError", "Results", "evaluate", "read_run"]


def __getattr__(name: str) -> object:
    """Import the API at its first use: `import evaluation` loads neither torch nor anything else."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "evaluation.errors" if name == "EvaluationError" else "evaluation.api"
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return __all__
