"""Names that fit into figures: short, still different from each other, marked where the tables mark them."""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from evaluation.tables import SYNTHETIC, Column, Results

MAX_NAME = 26
"""Characters of a model's name in a figure."""
MAX_TITLE = 20
"""Characters of a task's name in a figure."""
DAGGERS = ("†", "‡", "§", "¶")
METRICS = {
    "event_onset_200ms_fms": "onset F 200ms",
    "event_onset_50ms_fms": "onset F 50ms",
    "event_onset_offset_50ms_20perc_fms": "on-offset F",
    "segment_1s_er": "segment ER",
}
"""Shorter names of the metrics whose own are longer than a panel is wide."""


def short_names(labels: Sequence[str], *, longest: int = MAX_NAME) -> dict[str, str]:
    """Return a short name for every label; different labels never get the same one.

    `package.module@path/weights.pt[option=1]` becomes `module`, or as much more of it as tells it apart
    from the others: with its options, its weights' name, all of it. What is still longer than `longest`
    loses its middle.
    """
    names = dict.fromkeys(labels, "")
    for shorten in (_module, _module_options, _module_weights, _whole_tail, str):
        for label in labels:
            if not names[label]:
                names[label] = shorten(label)
        counts = Counter(names.values())
        names = {label: name if counts[name] == 1 else "" for label, name in names.items()}
    return cut({label: name or label for label, name in names.items()}, longest)


def cut(names: Mapping[str, str], longest: int) -> dict[str, str]:
    """Take out the middle of names longer than `longest`; where that makes two equal, number them."""
    short = {label: _without_middle(name, longest) for label, name in names.items()}
    counts, seen = Counter(short.values()), Counter()
    for label, name in short.items():
        if counts[name] > 1:
            seen[name] += 1
            number = f"#{seen[name]}"
            short[label] = _without_middle(name, longest - len(number)) + number
    return short


def _without_middle(name: str, longest: int) -> str:
    if len(name) <= longest:
        return name
    head = (longest - 1) // 2
    return f"{name[:head]}…{name[len(name) - (longest - 1 - head) :]}"


def _parts(label: str) -> tuple[str, str, str]:
    """Return module, weights' path and options of a model's label."""
    match = re.fullmatch(r"([^@\[]*)(?:@([^\[]*))?(\[.*\])?", label)
    return (match[1], match[2] or "", match[3] or "") if match else (label, "", "")


def _stem(weights: str) -> str:
    return re.sub(r"\.[A-Za-z]\w*$", "", re.split(r"[/\\]", weights)[-1])


def _module(label: str) -> str:
    return _parts(label)[0].split(".")[-1] or label


def _module_options(label: str) -> str:
    return _module(label) + _parts(label)[2]


def _module_weights(label: str) -> str:
    stem = _stem(_parts(label)[1])
    return _module(label) + (f"@{stem}" if stem else "")


def _whole_tail(label: str) -> str:
    return _module_weights(label) + _parts(label)[2]


class Naming:
    """The names of models and tasks in the figures of some results, and the notes that explain marks.

    A mark such as "random init" becomes a dagger behind the name; every figure that shows one explains it.
    """

    def __init__(self, results: Results):
        self._results = results
        self._names = short_names(list(results.models))
        self._titles = cut({column.task: column.short for column in results.columns}, MAX_TITLE)
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
        marks = [f"{symbol} {mark}" for mark, symbol in self._symbols.items() if mark in shown]
        return [*synthetic_notes(self._results), *([", ".join(marks) + "."] if marks else [])]


def metric_name(column: Column) -> str:
    """Return the metric of a column with its unit, and an arrow down when less is better."""
    unit = f" ({column.unit})" if column.unit else ""
    return METRICS.get(column.metric, column.metric) + unit + (" ↓" if column.sign < 0 else "")


def synthetic_notes(results: Results) -> list[str]:
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
