"""The MW-MAE paper's tables made again from the published numbers, and what can be recomputed."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from evaluation.report.sheet import Cell, Entry, Sheet, aligned
from evaluation.statistics.intervals import Interval
from evaluation.statistics.overall import overall_score
from evaluation.statistics.pools import Pool, paper_pool
from evaluation.statistics.published import (
    SCORED,
    TASKS,
    PublishedRow,
    PublishedTable,
    read_published,
    unrecovered_cells,
)

CAPTIONS: Mapping[int, str] = {
    1: "Table 1: representations compared on ten tasks; mean and 95 % interval over ten runs",
    2: "Table 2: multi-window attention in the encoder too; AudioSet-20k mAP",
    5: "Table 5: ImageNet linear probe, validation accuracy",
    6: "Table 6: parameters, plain average and overall score",
    7: "Table 7: patch size (ViT-B encoder)",
    8: "Table 8: size of the encoder (patches of 4×16)",
    9: "Table 9: depth of the decoder (ViT-B encoder, patches of 4×16)",
    10: "Table 10: amount of pre-training data",
}

HEADINGS = {
    "model": "Model",
    "group": "Group",
    "pt_data": "PT data",
    "patch_size": "Patch size",
    "n_patches": "n",
    "decoder_heads": "h",
    "encoder": "Encoder",
    "decoder_depth": "Decoder depth",
    "pretrain_data": "Pre-training data",
    "params_m": "Params (M)",
    "average": "Average",
    "linear_probe_map": "Linear probe (mAP)",
    "finetune_map": "Fine-tuning (mAP)",
    "imagenet_linear_probe_acc": "Validation accuracy",
}

SAME_MODELS = {"MAE Base": "MAE-B-4x16-4l", "MW-MAE Base (decoder only)": "MW-MAE-B-4x16-4l"}
"""Rows of Table 2 and the rows of Table 1 that are the same models."""

ROUNDING = 0.05 + 1e-9
"""A value printed to one decimal is within this of what was rounded."""

TOLERANCE = {"average": 0.1 + 1e-9, "s(m)": 0.3}
"""How far a recomputed value may be off before it cannot be explained: the average by the rounding of the ten
cells and of itself, s(m) by that and by the runs' extremes, which are only estimated."""

EXPLANATION = (
    "Recomputed from the printed cells: averages; s(m) with the {pool}, over single runs whose extremes are "
    "estimated from mean and interval (2.151 half widths); intervals as of tasks that vary independently. "
    "† the recomputed value rounds to other digits, as far as rounding and that estimate explain "
    "(0.1 for averages, 0.3 for s(m)); ‡ it differs by more."
)


def paper_tables(directory: Path) -> list[Sheet]:
    """Return Tables 1, 2 and 5 to 10 from the CSVs in `directory`, checked.

    Raises EvaluationError when a file is missing or damaged.
    """
    pool = paper_pool(directory)
    first = {_alike_to_printed(row.name): row for row in read_published(directory, 1).rows}
    return [
        _paper_sheet(read_published(directory, number), pool, first, unrecovered_cells(directory, number))
        for number in CAPTIONS
    ]


def _alike_to_printed(name: str) -> str:
    """Return a model's name as all tables would write it: Table 6 spells some differently from Table 1."""
    return SAME_MODELS.get(name, name).replace("Wav2Vec2", "W2V2").casefold()


def recomputed_overall(row: PublishedRow, pool: Pool) -> dict[str, Interval]:
    """Return average and s(m) from a row's ten printed cells; nothing for a row with unreadable ones.

    Half widths are those of a mean over tasks that vary independently.
    """
    if not row.whole:
        return {}
    cells = {task: row.cells[task] for task in TASKS}
    widths = {task: high - low for task in TASKS for low, high in [pool.extremes(task, "runs")]}
    means = {row.name: {task: [cell.mean] for task, cell in cells.items()}}
    overall = overall_score(means, pool, extremes="runs")[row.name].mean
    half = {task: cell.half_width for task, cell in cells.items()}
    n = next(iter(cells.values())).n
    return {
        "average": Interval(
            float(np.mean([c.mean for c in cells.values()])), math.hypot(*half.values()) / len(TASKS), n
        ),
        "s(m)": Interval(
            overall, 100 * math.hypot(*(half[task] / widths[task] for task in TASKS)) / len(TASKS), n
        ),
    }


def check_published(name: str, printed: Interval, ours: Interval) -> Cell:
    """Return the printed cell, marked where the recomputed value differs."""
    off = [abs(printed.mean - ours.mean), abs(printed.half_width - ours.half_width)]
    mark = "‡" if max(off) > TOLERANCE[name] else "†" if max(off) > ROUNDING else ""
    return Cell(printed.mean, printed.half_width, mark)


def _paper_sheet(
    table: PublishedTable, pool: Pool, first: Mapping[str, PublishedRow], missing: Sequence[str]
) -> Sheet:
    checked = [name for name in table.columns if name in TOLERANCE]
    header = [*(HEADINGS.get(name, name) for name in [*table.texts, *table.columns])]
    header += [f"{HEADINGS.get(name, name)}, recomputed" for name in checked]
    rows = []
    for row in table.rows:
        source = row if table.number in SCORED else first.get(_alike_to_printed(row.name))
        ours = recomputed_overall(source, pool) if source else {}
        rows.append(
            _paper_entries(table, row, {name: ours[name] for name in checked if name in ours}, checked)
        )
    notes = [EXPLANATION.format(pool=pool.title)] if checked else []
    if missing:
        notes.append(f"{len(missing)} cells could not be read and are empty: {', '.join(missing)}.")
    return Sheet(f"table{table.number}", CAPTIONS[table.number], header, rows, notes, _paper_rules(table))


def _paper_entries(
    table: PublishedTable, row: PublishedRow, ours: Mapping[str, Interval], checked: list[str]
) -> list[Entry]:
    printed = {name: Cell(cell.mean, cell.half_width) for name, cell in row.cells.items()}
    printed |= {
        name: check_published(name, row.cells[name], ours[name]) for name in ours if name in row.cells
    }
    beside = [Cell(ours[name].mean, ours[name].half_width) if name in ours else None for name in checked]
    return [*(row.texts[name] for name in table.texts), *(printed.get(c) for c in table.columns), *beside]


def _paper_rules(table: PublishedTable) -> list[int]:
    """Return where a new group of rows begins: another group of models, another value of what is varied."""
    by = "group" if "group" in table.texts else table.texts[0]
    if by == "model":
        return []
    values = [row.texts[by] for row in table.rows]
    return [index for index in range(1, len(values)) if values[index] != values[index - 1]]


def paper_summary(sheets: Sequence[Sheet]) -> str:
    """Return how many cells of each table were marked."""
    rows = [["table", "numbers", "†", "‡"]]
    for sheet in sheets:
        cells = [entry for row in sheet.rows for entry in row if isinstance(entry, Cell)]
        marked = [str(sum(cell.mark == mark for cell in cells)) for mark in "†‡"]
        rows.append([sheet.name.removeprefix("table"), str(len(cells)), *marked])
    return (
        f"{aligned(rows)}\n† the recomputed value rounds to other digits, as far as rounding explains; "
        "‡ it differs by more.\n"
    )
