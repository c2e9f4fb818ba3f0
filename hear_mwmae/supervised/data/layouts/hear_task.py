"""A HEAR task directory: task_metadata.json, labelvocabulary.csv, SPLIT.json and RATE/SPLIT/ (HEAR 2021)."""

from pathlib import Path
from typing import Any

from hear_mwmae.errors import UserError
from hear_mwmae.json_files import read_json
from hear_mwmae.names import printable
from hear_mwmae.supervised.data.layouts.listing import (
    PARTS,
    TEST,
    TRAINING,
    Classes,
    Entry,
    Listing,
    in_order,
    relative_name,
)
from hear_mwmae.supervised.data.layouts.text import read_table

METADATA = "task_metadata.json"
VOCABULARY = "labelvocabulary.csv"
RATES = ("16000", "48000", "44100")
"""Folders of sound in the order in which they are preferred; sound is resampled when it is read."""


def recognises(path: Path) -> bool:
    """Tell whether this is a task directory."""
    return (path / METADATA).is_file()


def read(directory: Path, sound: Path | None, subset: str) -> Listing:
    """Read the lists of a scene task; a clip's id is its file's name.

    Raises:
        UserError: a task of events, a file that is not as HEAR has it, a label that is no text or number.
    """
    metadata = _metadata(directory)
    splits = metadata["splits"]
    in_folds = metadata["split_mode"] != "trainvaltest"
    if not in_folds and not {TRAINING, TEST} <= set(splits) <= set(PARTS):
        raise UserError(
            f"{printable(directory / METADATA)}: the splits are not train, valid and test; correct them."
        )
    folder = sound or _sound_of(directory, splits)
    entries: list[Entry] = []
    for split in splits:
        file = directory / f"{split}.json"
        for name, labels in _clips(file).items():
            clip = relative_name(name, printable(file))
            texts = tuple(_label(label, file, clip) for label in labels)
            entries.append(Entry(clip, folder / split / clip, texts, split, file))
    return Listing(
        name=metadata["task_name"],
        entries=tuple(entries),
        multilabel=metadata["prediction_type"] == "multilabel",
        classes=_vocabulary(directory / VOCABULARY),
        folds=in_order(splits) if in_folds else (),
        next_validates=in_folds,
    )


def _metadata(directory: Path) -> dict[str, Any]:
    file = directory / METADATA
    found = _read(file)
    if not isinstance(found, dict):
        raise UserError(f"{printable(file)} holds no JSON object; restore it.")
    if found.get("embedding_type") == "event":
        raise UserError(
            f"{printable(directory)} is a task of events, whose labels have times; name a scene task, whose "
            "labels are of whole clips."
        )
    choices = {
        "embedding_type": ("scene",),
        "prediction_type": ("multiclass", "multilabel"),
        "split_mode": ("trainvaltest", "new_split_kfold", "presplit_kfold"),
    }
    for name, allowed in choices.items():
        if found.get(name) not in allowed:
            raise UserError(f"{printable(file)}: {name} is none of {', '.join(allowed)}; correct it.")
    task_name, splits = found.get("task_name"), found.get("splits")
    if not isinstance(task_name, str) or not task_name.strip():
        raise UserError(f"{printable(file)} has no task_name; correct it.")
    if not isinstance(splits, list) or not splits or not all(isinstance(s, str) for s in splits):
        raise UserError(f"{printable(file)}: splits is no list of names; correct it.")
    for split in splits:
        if splits.count(split) > 1 or relative_name(split, printable(file)) != split or "/" in split:
            raise UserError(
                f"{printable(file)}: {printable(split)!r} is no split, or there twice; correct it."
            )
    return found


def _sound_of(directory: Path, splits: list[str]) -> Path:
    """Return the folder of the rate that is preferred; where there is none of these, of the highest."""
    there = [d.name for d in directory.iterdir() if d.name.isascii() and d.name.isdigit() and d.is_dir()]
    there = [rate for rate in there if any((directory / rate / split).is_dir() for split in splits)]
    if not there:
        raise UserError(
            f"{printable(directory)} has no sound: a folder called by its sample rate, such as "
            f"16000/{printable(splits[0])}, is needed."
        )
    return directory / next((rate for rate in RATES if rate in there), in_order(there)[-1])


def _clips(file: Path) -> dict[str, list]:
    found = _read(file)
    if not isinstance(found, dict):
        raise UserError(f"{printable(file)} holds no JSON object of clips; restore it.")
    for name, labels in found.items():
        if not isinstance(labels, list):
            raise UserError(f"{printable(file)}: {printable(name)!r} has no list of labels; correct it.")
    return found


def _label(label: Any, file: Path, clip: str) -> str:
    """Return a label as the vocabulary has it; HEAR matches numbers to it as text."""
    if isinstance(label, bool) or not isinstance(label, str | int | float):
        raise UserError(
            f"{printable(file)}: a label of {printable(clip)} is neither text nor number; correct it."
        )
    return str(label)


def _vocabulary(file: Path) -> Classes:
    names: dict[int, str] = {}
    for line, row in read_table(file, ("idx", "label")).rows:
        index = row["idx"]
        number = int(index) if index.isascii() and index.isdigit() and len(index) < 10 else -1
        if number < 0 or number in names or row["label"] in names.values():
            raise UserError(
                f"{printable(file)}: line {line} has an idx that is no number or is there again, or a label "
                "that is; correct it."
            )
        names[number] = row["label"]
    if sorted(names) != list(range(len(names))):
        raise UserError(f"{printable(file)}: idx does not count 0, 1, 2, ... without a gap; correct it.")
    ordered = tuple(names[i] for i in range(len(names)))
    return Classes(ordered, {name: i for i, name in enumerate(ordered)}, file)


def _read(file: Path) -> Any:
    try:
        return read_json(file)
    except OSError as error:
        raise UserError(f"{printable(file)} cannot be read ({error.strerror}); restore it.") from None
