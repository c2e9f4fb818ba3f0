"""Supervised runs side by side: means over folds, intervals and tests over seeds.

A model's score for a seed is the mean over the folds; every mean of a column is over the same folds, so a
seed that lacks one of them is named and left out.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.results.comparison import PairedTest, compare_seeds, floor_of_p
from evaluation.results.names import distinct, task_titles
from evaluation.results.supervised import SupervisedRecord
from evaluation.statistics.intervals import Interval, t_interval
from tasks.names import printable

MODE_NAMES: Mapping[str, str] = {"finetune": "fine-tuning", "probe": "linear probe"}
RANDOM = "random init"
"""The mark of a model that began with random weights, as in every table."""


@dataclass(frozen=True)
class SupervisedModel:
    """What a row is: an initial model; `config` is None but where one column has it by several configs."""

    model: str
    init: str
    config: str | None = None


@dataclass(frozen=True)
class SupervisedColumn:
    """A data set in one mode, with the metric that is reported on it."""

    data: str
    mode: str
    metric: str


@dataclass(frozen=True)
class SupervisedCell:
    """The runs of one model on one column: those of every complete seed, in the order of the folds."""

    seeds: Mapping[int, Sequence[SupervisedRecord]]

    @property
    def records(self) -> list[SupervisedRecord]:
        """All runs."""
        return list(itertools.chain.from_iterable(self.seeds.values()))

    @property
    def folds(self) -> int:
        """How many folds every seed has."""
        return len(next(iter(self.seeds.values())))

    @property
    def config(self) -> str:
        """The named recipe of all runs."""
        return self.records[0].config

    @property
    def on_test(self) -> bool:
        """Whether the test part chose the best epoch, and a probe's head, of some run."""
        return any(record.chosen_on == "test" for record in self.records)

    @property
    def head_on_test(self) -> bool:
        """Whether these are probes whose layer the test part chose: all their scores are then too good."""
        return self.on_test and self.records[0].mode == "probe"

    @property
    def chosen_on(self) -> str:
        """The part that best epochs, and a probe's head, were chosen on."""
        return " and ".join(sorted({record.chosen_on for record in self.records}, reverse=True))

    @property
    def most_missing(self) -> SupervisedRecord:
        """The run with the largest number of clips missing."""
        return max(self.records, key=lambda record: record.clips.missing)

    def scores(self, metric: str, at: str = "last") -> dict[int, float] | None:
        """Return the mean over folds for every seed, a share in per cent; None where one is not defined.

        Args:
            metric: mAP, accuracy or d_prime.
            at: "last" or "best", the epoch.
        """
        unit = 1 if metric == "d_prime" else 100
        found = {}
        for seed, folds in self.seeds.items():
            values = [getattr(record, at)[metric] for record in folds]
            if any(value is None for value in values):
                return None
            found[seed] = float(np.mean(values)) * unit
        return found

    def interval(self, metric: str, at: str = "last") -> Interval | None:
        """Return mean and 95 % interval over seeds of `scores`; no half width where one is infinite."""
        scores = self.scores(metric, at)
        if scores is None:
            return None
        values = list(scores.values())
        if any(math.isinf(value) for value in values):  # d' of a perfect ranking
            return Interval(float(np.mean(values)), math.nan, len(values))
        return t_interval(values)


@dataclass(frozen=True)
class SupervisedTable:
    """Everything that the tables of supervised runs show.

    `titles` names the columns, `names` the rows with their marks; `tests` compare, within each column, all
    models over the seeds they share, by the reported score after the last epoch. `left_out` has a sentence
    for what was not averaged, `notes` what must stand beside the numbers.
    """

    models: Sequence[SupervisedModel]
    columns: Sequence[SupervisedColumn]
    cells: Mapping[tuple[SupervisedModel, SupervisedColumn], SupervisedCell]
    names: Mapping[SupervisedModel, str]
    titles: Mapping[SupervisedColumn, str]
    tests: Sequence[PairedTest]
    left_out: Sequence[str]
    notes: Sequence[str]


def supervised_table(records: Sequence[SupervisedRecord]) -> SupervisedTable:
    """Return the means, intervals and tests of what `read_supervised` gave."""
    grouped = _records_by_cell(records)
    columns = sorted({column for _, column in grouped}, key=lambda column: (column.data, column.mode))
    shown = task_titles({column.data: column.data for column in columns})
    titles = {column: f"{shown[column.data]}, {MODE_NAMES[column.mode]}" for column in columns}
    models = sorted({model for model, _ in grouped}, key=_place_of_row)
    names = _names_of_models(models)
    cells, left_out = {}, []
    for column in columns:
        rows = {model: grouped[model, column] for model in models if (model, column) in grouped}
        folds = sorted({record.fold for found in rows.values() for record in found})
        for model, found in rows.items():
            seeds, lacking = _complete_seeds(found, folds)
            if seeds:
                cells[model, column] = SupervisedCell(seeds)
            left_out += [f"{names[model]} on {titles[column]}, {sentence}" for sentence in lacking]
    return SupervisedTable(
        models=[model for model in models if any((model, column) in cells for column in columns)],
        columns=[column for column in columns if any((model, column) in cells for model in models)],
        cells=cells,
        names=names,
        titles=titles,
        tests=[test for column in columns for test in _tests_of_column(column, cells, names, titles)],
        left_out=left_out,
        notes=[*_notes_on_clips(records), *_notes_on_tests(columns, cells, titles)],
    )


def _records_by_cell(
    records: Sequence[SupervisedRecord],
) -> dict[tuple[SupervisedModel, SupervisedColumn], list[SupervisedRecord]]:
    """Return the runs of every cell; a model has a row for each config where a column has several of it."""
    configs: dict[tuple, set[str]] = {}
    for one in records:
        configs.setdefault((one.data, one.mode, one.model, one.init), set()).add(one.config)
    found: dict[tuple[SupervisedModel, SupervisedColumn], list[SupervisedRecord]] = {}
    for one in records:
        several = len(configs[one.data, one.mode, one.model, one.init]) > 1
        model = SupervisedModel(one.model, one.init, one.config if several else None)
        column = SupervisedColumn(one.data, one.mode, one.metric)
        found.setdefault((model, column), []).append(one)
    return found


def _place_of_row(one: SupervisedModel) -> tuple:
    return one.model, one.init, one.config is not None, one.config or ""


def _names_of_models(models: Sequence[SupervisedModel]) -> dict[SupervisedModel, str]:
    def shown(place: str) -> str:
        one = models[int(place)]
        config = "" if one.config is None else f" [{one.config or 'no config'}]"
        return f"{one.model}{config}" + (f" ({RANDOM})" if one.init == "random" else "")

    places = [str(place) for place in range(len(models))]
    names = distinct(places, (shown, lambda place: repr(models[int(place)])))
    return {model: names[place] for place, model in zip(places, models, strict=True)}


def _complete_seeds(
    found: Sequence[SupervisedRecord], folds: Sequence[str]
) -> tuple[dict[int, list[SupervisedRecord]], list[str]]:
    """Return the runs of the seeds that have all folds, and words on the others: "seed 3 lacks fold04"."""
    runs: dict[int, dict[str, SupervisedRecord]] = {}
    for record in found:
        runs.setdefault(record.seed, {})[record.fold] = record
    complete, lacking = {}, []
    for seed, by_fold in sorted(runs.items()):
        absent = [printable(fold) or "the run without a fold" for fold in folds if fold not in by_fold]
        if absent:
            lacking.append(f"seed {seed} lacks {', '.join(absent)}")
        else:
            complete[seed] = [by_fold[fold] for fold in folds]
    return complete, lacking


def _tests_of_column(
    column: SupervisedColumn,
    cells: Mapping[tuple[SupervisedModel, SupervisedColumn], SupervisedCell],
    names: Mapping[SupervisedModel, str],
    titles: Mapping[SupervisedColumn, str],
) -> list[PairedTest]:
    rows = {names[model]: cell.scores(column.metric) for (model, own), cell in cells.items() if own == column}
    return compare_seeds(titles[column], {name: row for name, row in rows.items() if row})


def _notes_on_clips(records: Sequence[SupervisedRecord]) -> Iterator[str]:
    """Yield a sentence for every test part that is not of one size in all runs."""
    sizes: dict[tuple[str, str], set[int]] = {}
    for record in records:
        sizes.setdefault((record.data, record.fold), set()).add(record.clips.test)
    for (data, fold), found in sorted(sizes.items()):
        if len(found) > 1:
            where = printable(f"{data}, {fold}" if fold else data)
            counts = " and ".join(map(str, sorted(found)))
            yield f"Not all scores on {where} are of the same clips: test parts have {counts}."


def _notes_on_tests(
    columns: Sequence[SupervisedColumn],
    cells: Mapping[tuple[SupervisedModel, SupervisedColumn], SupervisedCell],
    titles: Mapping[SupervisedColumn, str],
) -> Iterator[str]:
    """Yield where there are too few seeds for tests, once for the columns of as many seeds and models."""
    alike: dict[tuple[int, int], list[str]] = {}
    for column in columns:
        rows = [cell for (_, own), cell in cells.items() if own == column]
        if len(rows) > 1:
            size = min(len(cell.seeds) for cell in rows), len(rows)
            alike.setdefault(size, []).append(titles[column])
    for (seeds, models), names in alike.items():
        yield from floor_of_p(seeds, models, "seeds", f"on {' or '.join(names)}")
