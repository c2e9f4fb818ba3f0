"""Evaluation of HEAR-API modules: embed, probe, score, tabulate. The entry is `python -m evaluation.run`."""

import sys
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
