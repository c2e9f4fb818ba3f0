"""From what lists name to labelled data: what is there, in which part, of which class."""

import errno
import os
import stat
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from hear_mwmae.errors import UserError
from hear_mwmae.names import printable
from hear_mwmae.supervised.data.labels import LabelledClip, LabelledData
from hear_mwmae.supervised.data.layouts.listing import (
    PARTS,
    TEST,
    TRAINING,
    VALIDATION,
    Classes,
    Entry,
    Listing,
    in_order,
    own_classes,
)
from hear_mwmae.supervised.data.layouts.text import read_lines

_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}


def assemble(
    listing: Listing, data: Path, *, fold: str, classes: Classes | None, leave_out: Path | None
) -> LabelledData:
    """Divide what is listed, look which files are there, and number the labels.

    Args:
        data: what messages call the data set.
        fold: the fold that is tested.
        classes: a list that stands above that of the layout.
        leave_out: a file of ids or file names.

    Raises:
        UserError: a clip twice, a label that the classes lack, a part without clips, a class without training
            clips, a fold that is not there; the sentence names it.
    """
    part_of = _part_of(listing, data, fold)
    classes = (
        classes or listing.classes or own_classes(in_order(x for e in listing.entries for x in e.labels))
    )
    out = _left_out(listing, leave_out) if leave_out else frozenset()
    kept = [entry for entry in listing.entries if entry.id not in out]
    _check_once(kept)
    if len(classes.names) < 2 and not listing.multilabel:
        raise UserError(
            f"{printable(data)}: {', '.join(map(printable, classes.names)) or 'no class'} is all that there "
            "is to tell apart; a data set needs two classes."
        )
    parts: dict[str, list[LabelledClip]] = {part: [] for part in PARTS}
    missing = [entry.id for entry in listing.entries if entry.id in out]
    for entry in kept:
        labels = _numbers(entry, classes, listing.multilabel)
        if entry.path is not None and _is_there(entry.path):
            parts[part_of[entry.part]].append(LabelledClip(entry.id, entry.path, labels))
        else:
            missing.append(entry.id)
    _check_not_empty(parts, listing, part_of, data)
    _check_trained(parts, classes.names, data)
    return LabelledData(
        name=listing.name,
        classes=classes.names,
        multilabel=listing.multilabel,
        training=tuple(parts[TRAINING]),
        validation=tuple(parts[VALIDATION]),
        test=tuple(parts[TEST]),
        missing=(*missing, *listing.absent),
        fold=fold,
    )


def _part_of(listing: Listing, data: Path, fold: str) -> Mapping[str, str]:
    """Say in which part the entries of each fold are."""
    folds = listing.folds
    if not folds:
        if fold:
            raise UserError(
                f"{printable(data)} is divided into training and test, so there is no fold "
                f"{printable(fold)!r}; leave the fold out."
            )
        return {part: part for part in PARTS}
    if fold not in folds:
        problem = f"no fold {printable(fold)!r}" if fold else "folds, and which is tested was not said"
        raise UserError(
            f"{printable(data)} has {problem}; name one of {', '.join(map(printable, folds[:20]))}."
        )
    parts = dict.fromkeys(folds, TRAINING)
    if listing.next_validates and len(folds) > 2:
        parts[folds[(folds.index(fold) + 1) % len(folds)]] = VALIDATION
    return parts | {fold: TEST}


def _left_out(listing: Listing, file: Path) -> Collection[str]:
    """Return the ids of the entries that a file names."""
    named = {text for _, text in read_lines(file)}
    found = {e.id for e in listing.entries if e.id in named or (e.path and e.path.name in named)}
    if named and not found:
        raise UserError(
            f"{printable(file)}: no line, such as {printable(min(named))!r}, is the id or file name of a "
            "clip; correct them, or leave the file out."
        )
    return found


def _check_once(entries: Sequence[Entry]) -> None:
    first: dict[str, Entry] = {}
    for entry in entries:
        other = first.setdefault(entry.id, entry)
        if other is not entry:
            place = f"line {other.line}" if other.file == entry.file and other.line else other.where
            again = "again" if other.part == entry.part else f"in {printable(entry.part)}"
            part = "" if other.part == entry.part else f" in {printable(other.part)}"
            raise UserError(
                f"{entry.where} has {printable(entry.id)!r} {again}, which {place} has{part}; a recording "
                "belongs to one part, once, so keep one of them."
            )


def _numbers(entry: Entry, classes: Classes, multilabel: bool) -> tuple[int, ...]:
    labels = dict.fromkeys(entry.labels)
    for label in labels:
        if label not in classes.positions:
            named = f"in {printable(classes.file)}" if classes.file else "among the data set's classes"
            raise UserError(
                f"{entry.where}: the label {printable(label)!r} of {printable(entry.id)} is not {named}; "
                "correct one of them."
            )
    if len(labels) != 1 and not multilabel:
        raise UserError(
            f"{entry.where}: {printable(entry.id)} has {len(labels)} labels, and clips of this data set have "
            "one; correct it."
        )
    return tuple(sorted({classes.positions[label] for label in labels}))


def _is_there(path: Path) -> bool:
    """Tell whether there is a file that is not empty."""
    try:
        status = os.stat(path)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return False
        raise UserError(f"{printable(path)} cannot be read ({error.strerror}); make it readable.") from None
    return stat.S_ISREG(status.st_mode) and status.st_size > 0


def _check_not_empty(
    parts: Mapping[str, Sequence[LabelledClip]], listing: Listing, part_of: Mapping[str, str], data: Path
) -> None:
    for part, clips in parts.items():
        if clips:
            continue
        listed = [entry for entry in listing.entries if part_of[entry.part] == part]
        if not listed and part == VALIDATION:
            continue
        if not listed:
            raise UserError(f"{printable(data)}: no clip is for the part {part!r}; add some.")
        first = listed[0]
        at = f" (looked for as {printable(first.path)})" if first.path else ""
        raise UserError(
            f"{printable(data)}: no clip of the part {part!r} is left of {len(listed)} that are listed; the "
            f"first is {printable(first.id)!r}{at}: name the folder that holds the files."
        )


def _check_trained(parts: Mapping[str, Sequence[LabelledClip]], names: Sequence[str], data: Path) -> None:
    trained = {label for clip in parts[TRAINING] for label in clip.labels}
    for part in (TEST, VALIDATION):
        if parts[part] and not any(clip.labels for clip in parts[part]):
            raise UserError(
                f"{printable(data)}: no clip of the part {part!r} has a label, so nothing can be scored; add "
                "some."
            )
        untrained = {label for clip in parts[part] for label in clip.labels} - trained
        if untrained:
            more = f", like {len(untrained) - 1} others" if len(untrained) > 1 else ""
            raise UserError(
                f"{printable(data)}: the class {printable(names[min(untrained)])!r} has clips in the part "
                f"{part!r} and none for training{more}; add some, or take the class away."
            )
