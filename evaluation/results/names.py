"""Names of models and tasks as every table, figure and page shows them.

They are short, can be printed, and are different from each other to the eye too.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from evaluation.models.spec import ModelSpec
from tasks.names import printable

Form = Callable[[str], str]
Specs = Mapping[str, ModelSpec]
"""What each model is, by its label."""

FOLDERS = 4
"""Most folders of a file of weights in a name."""


def model_names(specs: Specs) -> dict[str, str]:
    """Return the name of every model, by its label.

    `package.module@path/weights.pt[option=1]` becomes `module`, or as much more of it as tells it apart
    from the others: with its options, its weights' name, their folders too, all of it.
    """

    def module(label: str) -> str:
        return specs[label].module.split(".")[-1] or label

    def weighted(label: str, folders: int = 0) -> str:
        stem = _common_stem(specs[label].weights, folders)
        return module(label) + (f"@{stem}" if stem else "")

    def whole(folders: int) -> Form:
        return lambda label: weighted(label, folders) + specs[label].settings

    forms = (module, lambda label: module(label) + specs[label].settings, weighted)
    return distinct(list(specs), (*forms, *map(whole, range(FOLDERS + 1)), str))


def task_titles(shorts: Mapping[str, str]) -> dict[str, str]:
    """Return the title of every task from its short name; of two alike, with the tasks' own names."""
    return distinct(list(shorts), (lambda task: shorts[task], lambda task: f"{shorts[task]} ({task})", str))


def distinct(labels: Sequence[str], forms: Sequence[Form]) -> dict[str, str]:
    """Return for every label the first of its forms that looks like no other's; else they are numbered."""
    names = dict.fromkeys(labels, "")
    for form in forms:
        names = {label: name or printable(form(label)) for label, name in names.items()}
        counts = Counter(map(look_of_name, names.values()))
        names = {label: name if counts[look_of_name(name)] == 1 else "" for label, name in names.items()}
    taken = {look_of_name(name) for name in names.values()}
    for label in (label for label, name in names.items() if not name):
        plain, number = printable(label), 1
        while look_of_name(f"{plain} #{number}") in taken:
            number += 1
        names[label] = f"{plain} #{number}"
        taken.add(look_of_name(names[label]))
    return names


def look_of_name(name: str) -> str:
    """Return a name so that two are equal when a reader would take one for the other."""
    return " ".join(unicodedata.normalize("NFKC", name).split())


def cut_name(names: Mapping[str, str], longest: int) -> dict[str, str]:
    """Take out the middle of names longer than `longest`; where that makes two alike, number them."""
    short = {label: _without_middle(name, longest) for label, name in names.items()}
    counts = Counter(map(look_of_name, short.values()))
    seen: Counter[str] = Counter()
    for label, name in short.items():
        if counts[look_of_name(name)] > 1:
            seen[look_of_name(name)] += 1
            number = f"#{seen[look_of_name(name)]}"
            short[label] = _without_middle(name, longest - len(number)) + number
    return short


def _without_middle(name: str, longest: int) -> str:
    if len(name) <= longest:
        return name
    head = (longest - 1) // 2
    return f"{name[:head]}…{name[len(name) - (longest - 1 - head) :]}"


def _common_stem(weights: str, folders: int = 0) -> str:
    """Return the name of a file of weights without its ending, after so many of its folders."""
    parts = re.split(r"[/\\]", weights)
    return re.sub(r"\.[A-Za-z]\w*$", "", "/".join(parts[-1 - folders :]))
