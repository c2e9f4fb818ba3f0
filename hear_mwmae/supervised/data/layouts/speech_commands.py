"""Speech Commands (Warden 2018): folders of words; two lists for validation and test, the rest is training.

Version 2 as 35 words, or version 1 as the keyword task SPC-1 of Audio-MAE: ten commands, "unknown" for all
other words, and "silence".
"""

from pathlib import Path

from hear_mwmae.audio import AUDIO_SUFFIXES
from hear_mwmae.errors import UserError
from hear_mwmae.names import printable
from hear_mwmae.supervised.data.layouts.listing import (
    TEST,
    TRAINING,
    VALIDATION,
    Entry,
    Listing,
    names_below,
    own_classes,
    relative_name,
)
from hear_mwmae.supervised.data.layouts.text import read_lines

LISTS = {"validation_list.txt": VALIDATION, "testing_list.txt": TEST}
COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN, SILENCE = "unknown", "silence"
SUBSETS = ("v1", "v2")
SILENCE_FOLDER, UNKNOWN_FOLDER = "_silence_", "_unknown_"
_OF_VERSION_2 = {"backward", "follow", "forward", "learn", "visual"}


def recognises(path: Path) -> bool:
    """Tell whether one of the lists is there."""
    return any((path / name).is_file() for name in LISTS)


def read(directory: Path, sound: Path | None, subset: str) -> Listing:
    """Read the folders and the lists; a clip's id is WORD/FILE.

    Version 1 has no clips of silence of its own, only `_background_noise_`, of which nothing is read. They
    are taken from a folder `_silence_`, as those of further unknown words are from `_unknown_`; without
    the first, "silence" is a class without clips, and `absent` names the folder.

    Args:
        subset: "v1" or "v2"; empty for "v2" if one of the words is there that came with it.

    Raises:
        UserError: a list that is not there, or a line of one that is no WORD/FILE.
    """
    listed = [row for name, part in LISTS.items() for row in _listed(directory / name, part)]
    in_lists = {name for name, *_ in listed}
    present = sorted(n for n in names_below(directory, AUDIO_SUFFIXES) if n.count("/") == 1)
    rows = [*listed, *((n, TRAINING, directory / n, 0) for n in present if n not in in_lists)]
    words = {name.split("/")[0] for name, *_ in rows}
    subset = subset or ("v2" if words & _OF_VERSION_2 else "v1")
    spoken = {word: word for word in sorted(words) if not word.startswith("_")}
    labels = spoken if subset == "v2" else _keywords(spoken)
    entries = tuple(
        Entry(name, directory / name, (labels[word],), part, file, line)
        for name, part, file, line in rows
        if (word := name.split("/")[0]) in labels
    )
    silent = subset == "v2" or any(entry.labels == (SILENCE,) for entry in entries)
    return Listing(
        name=f"speech_commands_{subset}",
        entries=entries,
        classes=own_classes((*COMMANDS, UNKNOWN, SILENCE) if subset == "v1" else tuple(spoken)),
        absent=() if silent else (SILENCE_FOLDER,),
    )


def _keywords(spoken: dict[str, str]) -> dict[str, str]:
    """Return the class of every folder in the task of twelve classes."""
    labels = {word: word if word in COMMANDS else UNKNOWN for word in spoken}
    return labels | {SILENCE_FOLDER: SILENCE, UNKNOWN_FOLDER: UNKNOWN}


def _listed(file: Path, part: str) -> list[tuple[str, str, Path, int]]:
    rows: list[tuple[str, str, Path, int]] = []
    for line, text in read_lines(file):
        where = f"{printable(file)}: line {line}"
        name = relative_name(text, where)
        if name.count("/") != 1:
            raise UserError(f"{where} is not of the kind WORD/FILE.wav; correct it.")
        rows.append((name, part, file, line))
    return rows
