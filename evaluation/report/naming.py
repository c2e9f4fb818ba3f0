"""Names that fit into figures: short, still different from each other, marked where the tables mark them."""

import itertools
from collections.abc import Callable, Sequence

from evaluation.metrics.table import shown_metric
from evaluation.results.names import Specs, cut_name, model_names
from evaluation.results.score_table import SYNTHETIC, Column, ScoreTable
from tasks.names import printable

MAX_NAME = 26
"""Characters of a model's name in a figure."""
MAX_TITLE = 20
"""Characters of a task's name in a figure."""
DAGGERS = ("†", "‡", "§", "¶")


def short_names(specs: Specs, *, longest: int = MAX_NAME) -> dict[str, str]:
    """Return the models' names as tables have them; what is longer than `longest` loses its middle."""
    return cut_name(model_names(specs), longest)


class Naming:
    """The names of models and tasks in the figures of some results, and the notes that explain marks.

    A mark such as "random init" becomes a dagger behind the name; every figure that shows one explains it.
    """

    def __init__(self, results: ScoreTable):
        self._results = results
        self._names = cut_name(results.names, MAX_NAME)
        self._titles = cut_name(results.titles, MAX_TITLE)
        marks = list(dict.fromkeys(results.marks.values()))
        self._symbols = {
            mark: DAGGERS[i % len(DAGGERS)] * (1 + i // len(DAGGERS)) for i, mark in enumerate(marks)
        }

    def __call__(self, model: str) -> str:
        """Return the model's short name with the symbol of its mark."""
        return self._names[model] + self.symbol(model)

    def symbol(self, model: str) -> str:
        """Return a space and the symbol of the model's mark; nothing for a model without a mark."""
        mark = self._results.marks.get(model)
        return f" {self._symbols[mark]}" if mark else ""

    def title(self, column: Column) -> str:
        """Return the short name of a column's task, with its budget."""
        return self._titles[column.task]

    def notes(self, models: Sequence[str]) -> list[str]:
        """Return what a figure of these models must say: synthetic tasks, and what the daggers mean."""
        shown = {self._results.marks[model] for model in models if model in self._results.marks}
        marks = [f"{symbol} {printable(mark)}" for mark, symbol in self._symbols.items() if mark in shown]
        return [*synthetic_notes(self._results), *([", ".join(marks) + "."] if marks else [])]


def metric_name(column: Column) -> str:
    """Return the metric of a column with its unit, and an arrow down when less is better."""
    unit = f" ({column.unit})" if column.unit else ""
    name = shown_metric(column.metric).short or printable(column.metric)
    return name + unit + (" ↓" if column.sign < 0 else "")


def synthetic_notes(results: ScoreTable) -> list[str]:
    """Return what a figure of synthetic tasks must say."""
    return [SYNTHETIC] if results.synthetic else []


def chunks(items: Sequence, most: int) -> list[Sequence]:
    """Return the items in as few parts of at most `most` as possible, of nearly equal length."""
    parts = -(-len(items) // most)
    size, longer = divmod(len(items), parts)
    ends = [size * i + min(i, longer) for i in range(parts + 1)]
    return [items[start:end] for start, end in itertools.pairwise(ends)]


def numbered(name: str, pages: Sequence, draw: Callable) -> list:
    """Return `draw(name, page)` for every page, the names numbered when there are several."""
    if len(pages) == 1:
        return [draw(name, pages[0])]
    return [draw(f"{name}_{number}", page) for number, page in enumerate(pages, 1)]
