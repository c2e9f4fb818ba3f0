"""The report of supervised runs: `hear-eval report --supervised`."""

from collections.abc import Sequence
from pathlib import Path

from evaluation.errors import EvaluationError
from evaluation.escape import csv_text
from evaluation.files import write_atomically
from evaluation.report.own_rows import own_cell
from evaluation.report.sheet import Entry, Sheet, write_sheet
from evaluation.report.statistics import statistics_rows, task_sheet
from evaluation.report.supervised_rows import ON_TEST, TABLES, published_sheets
from evaluation.report.tables import grid_on_screen
from evaluation.results.comparison import Comparison
from evaluation.results.supervised import METRICS, read_supervised
from evaluation.results.supervised_table import SupervisedTable, supervised_table
from evaluation.statistics.published import published_directory

COVERS = (
    "Mean over folds, then over seeds, after the last epoch, in per cent. ± is the half width of the 95 % "
    "t-interval over seeds: it covers what the seed draws (new layers, order of clips, masks, augmentation), "
    "on these test clips and from one pre-trained model."
)
HEAD_ON_TEST = "the probe's layer was chosen by the scores of the test part, so that they are too good."
CHOSEN = (
    "Best epoch: of every run by itself, chosen on the part named, as is the layer of a linear probe; what "
    "was chosen on the test part is too good."
)


OPTIONAL_TABLES = (
    "supervised_tests",
    "supervised_statistics",
    *(f"supervised_{name}" for name in TABLES),
)
"""Tables that not every report has; those of an earlier report do not stay."""


def write_supervised(directory: Path, out: Path, published: Path | None = None) -> str:
    """Write `out`/tables of the supervised runs in a folder and return what the screen shows.

    Args:
        directory: where the runs' `scores.json` are, at any depth.
        out: the folder that gets `tables`, in Markdown, CSV and LaTeX.
        published: the folder of the published tables, this package's if None.

    Raises:
        EvaluationError: see `read_supervised`; and no seed has all folds.
    """
    table = supervised_table(read_supervised(directory))
    if not table.cells:
        raise EvaluationError(
            f"no seed has all folds of its data: {table.left_out[0]}; train what is missing"
        )
    beside, other_data = published_sheets(table, published_directory(published))
    left_out = [f"left out: {sentence}" for sentence in other_data]
    headline = headline_sheet(table)
    sheets = [headline, runs_sheet(table), *pair_sheets(table), *beside]
    tables = out / "tables"
    for name in OPTIONAL_TABLES:
        for kind in ("md", "csv", "tex"):
            (tables / f"{name}.{kind}").unlink(missing_ok=True)
    for sheet in sheets:
        write_sheet(sheet, tables)
    if table.tests:
        write_atomically(tables / "supervised_statistics.csv", csv_text(statistics_rows(_comparison(table))))
    shown = [grid_on_screen([headline.header, *headline.text_rows()], headline.notes)]
    shown += [
        grid_on_screen([one.header, *one.text_rows()], [f"{one.caption}.", *one.notes]) for one in beside
    ]
    return "\n".join([*shown, *left_out, f"Tables: {tables}"])


def headline_sheet(table: SupervisedTable) -> Sheet:
    """Return the table of models by data sets and modes: the reported score after the last epoch."""
    header = ["model", *(f"{table.titles[column]} ({column.metric})" for column in table.columns)]
    rows: list[list[Entry]] = []
    chosen = False
    for model in table.models:
        row: list[Entry] = [table.names[model]]
        for column in table.columns:
            cell = table.cells.get((model, column))
            on_test = cell is not None and cell.head_on_test
            interval = cell.interval(column.metric) if cell else None
            row.append(own_cell(interval, ON_TEST * on_test))
            chosen |= on_test
        rows.append(row)
    notes = [COVERS, *[f"{ON_TEST}: {HEAD_ON_TEST}"] * chosen, *table.notes]
    notes += [f"Left out: {sentence}." for sentence in table.left_out]
    return Sheet("supervised", "Fine-tuning and linear probe", header, rows, notes)


def runs_sheet(table: SupervisedTable) -> Sheet:
    """Return one row per model and column: last and best epoch, all scores, and what they are made of."""
    header = ["data", "model", "config", "metric", "last epoch", "best epoch", "chosen on"]
    header += [*METRICS, "d'", "seeds", "folds", "clips missing"]
    rows: list[list[Entry]] = []
    rules = []
    for column in table.columns:
        rules.append(len(rows))
        for model in table.models:
            if (cell := table.cells.get((model, column))) is None:
                continue
            clips = cell.most_missing.clips
            last, best = (own_cell(cell.interval(column.metric, at)) for at in ("last", "best"))
            names = [table.titles[column], table.names[model], cell.config, column.metric]
            others = [own_cell(cell.interval(name)) for name in (*METRICS, "d_prime")]
            counts = [
                str(len(cell.seeds)),
                str(cell.folds),
                f"{clips.missing} of {clips.found + clips.missing}",
            ]
            rows.append([*names, last, best, cell.chosen_on, *others, *counts])
    notes = [COVERS, CHOSEN, "d' is in its own units. Clips missing: in the run that lacks most."]
    return Sheet("supervised_runs", "Supervised runs: last and best epoch", header, rows, notes, rules)


def pair_sheets(table: SupervisedTable) -> Sequence[Sheet]:
    """Return the tests between models as a table, none where nothing could be tested or it is too long."""
    sheet = task_sheet(_comparison(table), str)
    if sheet is None:
        return []
    caption = "Pairs of models by fine-tuning and linear probe"
    return [Sheet("supervised_tests", caption, sheet.header, sheet.rows, sheet.notes)]


def _comparison(table: SupervisedTable) -> Comparison:
    return Comparison(table.tests, [], None, [], [], table.notes)
