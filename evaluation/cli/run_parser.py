"""The arguments of `hear-eval run`, which `hear-eval plan` takes too: what they are and what they mean."""

import argparse
import os
from dataclasses import fields
from pathlib import Path

from evaluation.files import cache_directory
from evaluation.models.systems import DEFAULT_MODELS
from evaluation.probes.config import HEADS, ProbeConfig
from evaluation.probes.presets import PRESETS

EPILOG = """\
examples:
  hear-eval run --tasks all
      ten synthetic sample tasks, the bundled MW-MAE and HEAR-Naive: no data and no network needed
  hear-eval run --tasks all --tasks-dir /data/hear/tasks --models my_model@weights.pt
      every task in that directory with the paper's protocol, ten seeds
  hear-eval run --tasks esc50 NS-5h --tasks-dir D --models a b@c.safetensors --run first
      two tasks, two models; run it again to go on where it stopped
  hear-eval run --import-heareval embeddings --preset hear2021
      all embeddings that heareval made, without sound and without the models
  hear-eval run --tasks esc50 --tasks-dir D --models a --head knn --budget 1 10 100
      nearest neighbours instead of networks, with 1, 10 and 100 per cent of the training clips
  hear-eval run --tasks esc50 --tasks-dir D --models a --probe lr=[1e-4,1e-3] shuffle=true
      other numbers than the preset's; tables say so
  hear-eval run --tasks esc50 --tasks-dir D --models hear_mwmae.mw_mae_b@W --layers all
      every layer of the encoder instead of the last, each a row of the table

A run is a folder results/RUN with run.json, ledger.jsonl (every finished fit), details.jsonl (scores of every
class, confusion matrices) and tables/. The same command again does only what is missing. Embeddings are kept
in the cache ($HEAR_MWMAE_CACHE) and shared by all runs.

Where no event is detected the F-measure of a timestamp task is undefined and counts as 0, at validation
checks too; heareval would end the training there.
"""


def run_parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    result = argparse.ArgumentParser(
        prog="hear-eval run",
        description="Evaluate HEAR modules: embed, train the shallow classifiers of every seed, tabulate.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_what_to_run(result.add_argument_group("what to evaluate"))
    _add_how_to_probe(result.add_argument_group("how"))
    _add_where_to_write(result.add_argument_group("where"))
    return result


def _add_what_to_run(what: argparse._ArgumentGroup) -> None:
    what.add_argument(
        "--tasks",
        nargs="+",
        default=["all"],
        metavar="TASK",
        help="all (default), names (esc50, ESC-50, a directory's name) or paths of task directories",
    )
    what.add_argument(
        "--tasks-dir",
        type=Path,
        default=os.environ.get("HEAR_TASKS_DIR") or None,
        metavar="D",
        help="folder of HEAR task directories (default: $HEAR_TASKS_DIR, else the sample tasks)",
    )
    what.add_argument(
        "--models",
        nargs="+",
        metavar="MODULE[@WEIGHTS]",
        help="importable HEAR modules, each with optional weights; table1 stands for all of Table 1, see "
        f"hear-eval models (default: {' '.join(DEFAULT_MODELS)})",
    )
    what.add_argument(
        "--skip-missing", action="store_true", help="leave out systems of table1 whose weights are not here"
    )
    what.add_argument(
        "--model-options",
        nargs="+",
        default=[],
        metavar="[MODULE=]JSON",
        help="keyword arguments for load_model, of every model or of one: "
        'hear_mwmae.mae_b=\'{"precision": "bf16"}\'',
    )
    what.add_argument(
        "--layers",
        nargs="+",
        default=[],
        metavar="NAME",
        help="probe layers instead of what the module gives by itself: all, last or names, each a row of the "
        "table called MODULE[layer=NAME]; for modules that expose their layers, "
        "which hear_mwmae's do: block1, block2, ..., norm",
    )
    what.add_argument(
        "--import-heareval",
        type=Path,
        metavar="DIR",
        help="evaluate embeddings that heareval made, instead of models: its folder of a task, of a model or "
        "of all models; needs no sound",
    )
    what.add_argument(
        "--allow-random-init", action="store_true", help="accept models without trained weights, marked so"
    )


def _add_how_to_probe(how: argparse._ArgumentGroup) -> None:
    how.add_argument(
        "--seeds",
        default="10",
        metavar="N",
        help="how many: 10 (default) are the seeds 0 to 9; or which ones: 0-9, 3,5,42, and for a single one "
        "42, with the comma",
    )
    how.add_argument(
        "--preset",
        metavar="NAME",
        help="; ".join(f"{p.name}: {p.description}" for p in PRESETS).replace("%", "%%")
        + " (default: mwmae, but quick on sample tasks)",
    )
    how.add_argument(
        "--probe",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="change numbers of the preset; a list is a grid: lr=1e-3 dropout=[0.1,0.5] shuffle=true, or one "
        "JSON object. Names: grid_points (how many of the grid each seed tries), C (with --head linear), "
        "k (with --head knn), " + ", ".join(field.name for field in fields(ProbeConfig)),
    )
    how.add_argument(
        "--head",
        choices=HEADS,
        default="mlp",
        help="what is put on the embeddings: the preset's network (mlp, default), logistic regression on "
        "standardised embeddings (linear), or cosine nearest neighbours (knn); in the last two nothing is "
        "random, so they have one seed, and no number of the preset",
    )
    how.add_argument(
        "--budget",
        nargs="+",
        type=float,
        default=[100.0],
        metavar="PERCENT",
        help="shares of the training clips, each a column: 1 5 10 100 (default: 100)",
    )
    how.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ... (default: cuda if present)")
    how.add_argument(
        "--max-memory",
        type=float,
        default=1.5,
        metavar="GB",
        help="for the networks that train at a time (default: 1.5)",
    )


def _add_where_to_write(where: argparse._ArgumentGroup) -> None:
    where.add_argument("--run", metavar="NAME", help="name of the run (default: default, or sample)")
    where.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="where runs are kept (default: ./results)",
    )
    where.add_argument("--cache", type=Path, metavar="DIR", help=f"default: {cache_directory()}")
    where.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on with what the run's ledger holds (default); --no-resume sets the old ledger aside",
    )
    where.add_argument(
        "--save-predictions",
        action="store_true",
        help="keep what every fit that counts predicts of its test part, RUN/predictions/**.npz",
    )
    where.add_argument(
        "--export-heareval",
        type=Path,
        metavar="DIR",
        help="at the end, write embeddings and scores as heareval would have left them",
    )
    where.add_argument(
        "--report",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="at the end, write statistics, figures and report.html (default); "
        "hear-eval report RUN does it later",
    )
    where.add_argument("--plan-only", action="store_true", help="print the plan and stop")
