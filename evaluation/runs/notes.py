"""What the tables say under them: presets, budgets, parts of tasks."""

from collections.abc import Sequence

from evaluation.probes.presets import Preset, axes_sentence
from evaluation.results.score_table import SYNTHETIC
from evaluation.runs.columns import short_name
from evaluation.runs.seeds import seeds_text
from tasks import HEAR19_TASKS, Task, stands_for


def protocol_notes(
    preset: Preset, seeds: Sequence[int], budgets: Sequence[float], tasks: Sequence[Task]
) -> list[str]:
    """Return the sentences that every table of a run must carry."""
    notes = [_protocol_note(preset, seeds), *_budget_notes(budgets)]
    for task in tasks:
        own = preset.for_task(task.metadata).axes
        differs = {name: own[name] for name in own if own[name] != preset.axes.get(name)}
        if differs:
            notes.append(f"{short_name(task)} brings its own: {axes_sentence(differs)}.")
    if 1 < len(seeds) < 4:
        notes.append("Intervals over two or three seeds are very wide.")
    if any(task.metadata.synthetic for task in tasks):
        notes.insert(0, SYNTHETIC)
    for task in tasks:
        if task.metadata.part_of:
            notes.append(f"{short_name(task)} is a part of its data set: {task.metadata.part_of}.")
        elif task.metadata.build_notes:
            of_hear = any(stands_for(task.metadata, info) for info in HEAR19_TASKS)
            departs = " is not the published task" if of_hear else ""
            notes.append(f"{short_name(task)}{departs}: {'; '.join(task.metadata.build_notes)}.")
    return notes


HEAD_NAMES = {
    "knn": "cosine nearest neighbours, no training",
    "linear": "logistic regression on embeddings standardised by the training clips, one for every label "
    "where a clip may have several",
}


def _protocol_note(preset: Preset, chosen: Sequence[int]) -> str:
    if not preset.random:
        what, (name, values) = HEAD_NAMES[preset.head], next(iter(preset.axes.items()))
        return (
            f"Head {preset.head}: {what}; {name} of {', '.join(f'{value:g}' for value in values)} chosen on "
            "validation. Nothing is random, so there is one value and no interval."
        )
    text = f"Preset {preset.title}: {preset.description}."
    if preset.changes:
        text = f"Preset {preset.title}; NOT the preset itself, which is {preset.description}."
    seeds = f"{len(chosen)} seeds" if len(chosen) > 1 else "one seed"
    if list(chosen) != list(range(len(chosen))):
        seeds += f" ({seeds_text(chosen)})"
    return (
        f"{text} Mean ± half width of the 95 % t-interval over {seeds} of the classifier; it does not cover "
        "the choice of test clips."
    )


def _budget_notes(budgets: Sequence[float]) -> list[str]:
    if tuple(budgets) == (100.0,):
        return []
    note = (
        "@N%: trained on N % of every class's training clips, at least one, and more of classes that share "
        "clips with others; the same ones for every seed and model, smaller budgets within larger ones; "
        "validation and test parts are whole."
    )
    if len(budgets) > 1:
        note += f" Average and s(m) are over the columns with the largest budget, {max(budgets):g} %."
    return [note]
