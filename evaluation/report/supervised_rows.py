"""Own supervised runs in the tables of both papers: which recipe stands beside which published cell.

Only whole data sets take part: a miniature or a part never stands beside a published number.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.report.own_rows import OUTSIDE, outside_printed, own_cell
from evaluation.report.paper import CAPTIONS, HEADINGS
from evaluation.report.sheet import Entry, Sheet
from evaluation.results.supervised_table import SupervisedCell, SupervisedModel, SupervisedTable
from evaluation.statistics.intervals import Interval
from evaluation.statistics.published import PublishedTable, read_audio_mae, read_published


@dataclass(frozen=True)
class DataSet:
    """What a data set must have to be the published one: its classes, and so many clips found at least."""

    classes: int
    clips: int


AUDIOSET_20K = DataSet(527, 29_000)
"""Three quarters of 20 000 training and 19 148 test clips: clips disappear, a table says how many."""
AUDIOSET_2M = DataSet(527, 1_500_000)
ESC50 = DataSet(50, 2000)
IMAGENET = DataSet(1000, 1_000_000)


@dataclass(frozen=True)
class Place:
    """Where a recipe stands: table, row and column; `row` is "" where none is published for it."""

    table: str
    row: str
    column: str
    metric: str
    data: DataSet


def _table2(row: str) -> dict[str, Place]:
    return {
        "probe": Place("table2", row, "linear_probe_map", "mAP", AUDIOSET_20K),
        "finetune": Place("table2", row, "finetune_map", "mAP", AUDIOSET_20K),
    }


def _table5(row: str) -> dict[str, Place]:
    return {"probe": Place("table5", row, "imagenet_linear_probe_acc", "accuracy", IMAGENET)}


_OBJECTIVES = {
    "": "reconstruction (L_r)",
    "_contrast": "contrastive (L_c)",
    "_both": "contrastive + reconstruction (L_r + alpha L_c)",
}
_ON_AUDIOSET = {"20k": AUDIOSET_20K, "2m": AUDIOSET_2M}

PLACES: Mapping[str, Mapping[str, Place]] = {
    "audioset_20k:mae_b": _table2("MAE Base"),
    "audioset_20k:mw_mae_b": _table2("MW-MAE Base (decoder only)"),
    "audioset_20k:mw_mae_b_encoder": _table2("MW-MAE Base (enc+dec)"),
    "imagenet:mae_m": _table5("MAE Medium Encoder"),
    "imagenet:mw_mae_m": _table5("MW-MAE Medium Encoder"),
    "esc50:audio_mae_b": {"finetune": Place("audiomae_table2", "", "esc50_ft_acc", "accuracy", ESC50)},
    "esc50:audio_mae_b_supervised": {
        "finetune": Place("audiomae_table2", "Audio-MAE (local)", "esc50_ft_acc", "accuracy", ESC50)
    },
    "esc50:audio_mae_b_global_supervised": {
        "finetune": Place("audiomae_table2", "Audio-MAE (global)", "esc50_ft_acc", "accuracy", ESC50)
    },
} | {
    f"audioset_{size}:audio_mae_b{start}": {
        "finetune": Place("audiomae_table3", row, f"as{size}_map", "mAP", data)
    }
    for start, row in _OBJECTIVES.items()
    for size, data in _ON_AUDIOSET.items()
}
"""Named recipe -> mode -> the published cell that is of the same recipe."""

TABLES: Mapping[str, tuple[Callable[[Path], PublishedTable], str]] = {
    "table2": (lambda directory: read_published(directory, 2), CAPTIONS[2]),
    "table5": (lambda directory: read_published(directory, 5), CAPTIONS[5]),
    "audiomae_table2": (
        lambda directory: read_audio_mae(directory, 2),
        "Table 2 of Audio-MAE's supplement: fine-tuning on ESC-50 (AS-SL: after AudioSet with labels)",
    ),
    "audiomae_table3": (
        lambda directory: read_audio_mae(directory, 3),
        "Table 3 of Audio-MAE's supplement: objectives of pre-training; fine-tuning on AudioSet",
    ),
}

_HEADINGS = {
    **HEADINGS,
    "backbone": "Backbone",
    "pretraining": "Pre-training",
    "uses_imagenet": "ImageNet",
    "esc50_ft_acc": "ESC-50 (accuracy)",
    "as20k_map": "AudioSet-20k (mAP)",
    "as2m_map": "AudioSet-2M (mAP)",
}

ON_TEST = "†"
"""Marks a score of an epoch, or a probe's head, that was chosen by the scores of the test part."""

Own = Mapping[str, SupervisedCell]
"""Published column -> own cell."""


def published_sheets(table: SupervisedTable, published: Path) -> tuple[list[Sheet], list[str]]:
    """Return the papers' tables with own rows, and a sentence for each recipe on other data.

    No table for which there are no own rows. Raises EvaluationError when a published table is missing or
    damaged.
    """
    own: dict[str, dict[tuple[SupervisedModel, str], dict[str, SupervisedCell]]] = {}
    left_out = []
    for (model, column), cell in table.cells.items():
        place = PLACES.get(cell.config, {}).get(column.mode)
        if place is None:
            continue
        if reason := _other_data(cell, place):
            left_out.append(
                f"{table.names[model]} on {table.titles[column]} is not in {place.table}: {reason}"
            )
            continue
        row = place.row if model.init == "pretrained" else ""
        own.setdefault(place.table, {}).setdefault((model, row), {})[place.column] = cell
    sheets = []
    for name, (read, caption) in TABLES.items():
        if name in own:
            sheets.append(_own_sheet(name, caption, read(published), table.names, own[name]))
    return sheets, left_out


def _other_data(cell: SupervisedCell, place: Place) -> str:
    """Return why the runs of a cell are not on the published data, "" where they are."""
    clips = min(record.clips.found for record in cell.records)
    classes, whole = cell.records[0].classes, place.data
    if classes == whole.classes and clips >= whole.clips:
        return ""
    return (
        f"its data has {classes} classes and {clips} clips, the published one {whole.classes} classes and at "
        f"least {whole.clips} clips"
    )


def _own_sheet(
    name: str,
    caption: str,
    published: PublishedTable,
    names: Mapping[SupervisedModel, str],
    own: Mapping[tuple[SupervisedModel, str], Own],
) -> Sheet:
    used = [column for column in published.columns if any(column in cells for cells in own.values())]
    header = [_HEADINGS.get(one, one) for one in (*published.texts, *published.columns)]
    header += [f"{_HEADINGS[column]}, best epoch" for column in used]
    texts = len(published.texts)
    rows: list[list[Entry]] = []
    for line in published.rows:
        printed = [own_cell(line.cells.get(column)) for column in published.columns]
        rows.append([*(line.texts[text] for text in published.texts), *printed, *[None] * len(used)])
        for (model, row), cells in own.items():
            if row == line.texts["model"]:
                scores = _own_scores(published.columns, used, cells, line.cells)
                rows.append([f"> {names[model]}", *[""] * (texts - 1), *scores])
    first = len(rows)
    known = {line.texts["model"] for line in published.rows}
    for (model, row), cells in own.items():
        if row not in known:
            scores = _own_scores(published.columns, used, cells, {})
            rows.append([f"> {names[model]}", *[""] * (texts - 1), *scores])
    notes = [
        "Rows that begin with > are own, after the last epoch; those of a published recipe stand below it.",
        f"{OUTSIDE}: farther from the published score than both intervals together. {ON_TEST}: the epoch, or "
        "a probe's layer, was chosen by the scores of the test part.",
        *_notes_on_missing(names, own),
    ]
    return Sheet(f"supervised_{name}", f"{caption}, with own rows", header, rows, notes, [first])


def _own_scores(
    columns: Sequence[str], used: Sequence[str], cells: Own, printed: Mapping[str, Interval]
) -> list[Entry]:
    """Return the scores of an own row: after the last epoch in all columns, after the best in `used` ones."""
    metrics = {place.column: place.metric for modes in PLACES.values() for place in modes.values()}
    last: list[Entry] = []
    best: list[Entry] = []
    for column in columns:
        cell = cells.get(column)
        interval = cell.interval(metrics[column]) if cell else None
        outside = interval and column in printed and outside_printed(interval, printed[column])
        on_test = cell is not None and cell.head_on_test
        last.append(own_cell(interval, OUTSIDE * bool(outside) + ON_TEST * on_test))
    for column in used:
        cell = cells.get(column)
        interval = cell.interval(metrics[column], "best") if cell else None
        best.append(own_cell(interval, ON_TEST * (cell is not None and cell.on_test)))
    return [*last, *best]


def _notes_on_missing(
    names: Mapping[SupervisedModel, str], own: Mapping[tuple[SupervisedModel, str], Own]
) -> list[str]:
    """Return, for every own cell with clips missing, how many."""
    found = []
    for (model, _), cells in own.items():
        for column, cell in cells.items():
            clips = cell.most_missing.clips
            if clips.missing:
                whole = clips.found + clips.missing
                found.append(
                    f"{names[model]}, {_HEADINGS[column]}: {clips.missing} of {whole} clips missing."
                )
    return found
