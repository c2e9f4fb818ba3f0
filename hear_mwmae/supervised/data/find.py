"""A labelled data set in its own layout, as values: which layout it is, and what is in it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hear_mwmae.errors import UserError
from hear_mwmae.files import write_text
from hear_mwmae.names import printable
from hear_mwmae.supervised.data.labels import LabelledData
from hear_mwmae.supervised.data.layouts import (
    audioset,
    esc50,
    hear_task,
    imagenet,
    speech_commands,
    table,
    voxceleb,
)
from hear_mwmae.supervised.data.layouts.assemble import assemble
from hear_mwmae.supervised.data.layouts.class_list import read_class_list
from hear_mwmae.supervised.data.layouts.listing import Listing


@dataclass(frozen=True)
class Layout:
    """A way in which data sets are laid out."""

    what: str
    """As a message says what there has to be."""
    recognises: Callable[[Path], bool]
    read: Callable[[Path, Path | None, str], Listing]
    """Of the data set, its folder of sound (None for where the layout has it) and the subset."""
    subsets: tuple[str, ...] = ()
    sound_elsewhere: bool = True
    """Whether lists and sound may lie in different folders."""
    folds: bool = False
    """Whether there may be folds."""
    class_list: str = ""
    """The file without which the classes must be given."""


LAYOUTS = (
    Layout("task_metadata.json of a HEAR task", hear_task.recognises, hear_task.read, folds=True),
    Layout(
        "segment lists of AudioSet",
        audioset.recognises,
        audioset.read,
        subsets=audioset.SUBSETS,
        class_list=audioset.CLASS_LIST,
    ),
    Layout(
        "testing_list.txt of Speech Commands",
        speech_commands.recognises,
        speech_commands.read,
        subsets=speech_commands.SUBSETS,
        sound_elsewhere=False,
    ),
    Layout("iden_split.txt of VoxCeleb1", voxceleb.recognises, voxceleb.read),
    Layout("meta/esc50.csv of ESC-50", esc50.recognises, esc50.read, subsets=esc50.SUBSETS, folds=True),
    Layout("a table (.csv) with filename, label and split or fold", table.recognises, table.read, folds=True),
    Layout("train/ and val/ of ImageNet", imagenet.recognises, imagenet.read, sound_elsewhere=False),
)
"""In the order in which they are looked for: a data set's own lists, any table, and folders without lists."""


def read_labelled_data(
    directory: Path,
    *,
    fold: str = "",
    classes: Path | None = None,
    sound: Path | None = None,
    leave_out: Path | None = None,
    subset: str = "",
) -> LabelledData:
    """Read a labelled data set; what its folder or file holds says which layout it has.

    Args:
        directory: the data set's folder, or a table.
        fold: the fold that is tested, of a data set with folds.
        classes: file of classes, one per line or AudioSet's list; it has all of them, in their order.
        sound: folder of the files, where the layout does not have them in a place of its own.
        leave_out: file of ids or file names, one per line, that are taken for missing.
        subset: AudioSet's "20k" or "2m", Speech Commands' "v1" or "v2", ESC-50's "esc10".

    Raises:
        UserError: no layout that is known, or lists and files that do not fit each other.
    """
    layout, listing = _read(directory, sound, subset)
    if layout.class_list and listing.classes is None and classes is None:
        raise UserError(
            f"{printable(directory)} has no {layout.class_list}, the list of its classes; add it, or name a "
            "file of classes."
        )
    return assemble(
        listing,
        directory,
        fold=fold,
        classes=read_class_list(classes) if classes else None,
        leave_out=leave_out,
    )


def folds_of(directory: Path, *, subset: str = "") -> tuple[str, ...]:
    """Return the folds of a data set in their order; none if it is divided otherwise.

    Raises:
        UserError: as `read_labelled_data`, for what its lists say.
    """
    if not _layout_of(directory).folds:
        return ()
    _, listing = _read(directory, None, subset)
    return listing.folds


def write_missing(data: LabelledData, path: Path) -> None:
    """Write the ids of the missing clips, one per line; where none is missing, there is no file."""
    if data.missing:
        write_text(path, "".join(f"{printable(one)}\n" for one in data.missing))
    else:
        path.unlink(missing_ok=True)


def _read(directory: Path, sound: Path | None, subset: str) -> tuple[Layout, Listing]:
    layout = _layout_of(directory)
    if subset and subset not in layout.subsets:
        choices = f"has {' and '.join(layout.subsets)}" if layout.subsets else "has none"
        raise UserError(
            f"{printable(directory)}: there is no subset {printable(subset)!r}; this layout {choices}."
        )
    if sound and not layout.sound_elsewhere:
        raise UserError(
            f"{printable(directory)}: its folders are the list of clips; leave the folder of sound "
            f"{printable(sound)} out."
        )
    try:
        if sound and not sound.is_dir():
            raise UserError(f"{printable(sound)}: there is no such folder of sound; correct the path.")
        return layout, layout.read(directory, sound, subset)
    except OSError as error:
        raise _unreadable(directory, error) from None


def _layout_of(directory: Path) -> Layout:
    try:
        if not directory.exists():
            raise UserError(f"{printable(directory)}: there is no such file or folder; correct the path.")
        for layout in LAYOUTS:
            if layout.recognises(directory):
                return layout
    except OSError as error:
        raise _unreadable(directory, error) from None
    known = ", ".join(layout.what for layout in LAYOUTS)
    raise UserError(
        f"{printable(directory)} is no labelled data set: it has none of {known}; name the folder that has."
    )


def _unreadable(directory: Path, error: OSError) -> UserError:
    name = printable(directory if error.filename is None else error.filename)
    return UserError(f"{name} cannot be read ({error.strerror}); make it readable.")
