"""VoxCeleb1 for speaker identification: iden_split.txt (Nagrani et al. 2017), one class for each speaker."""

import re
from pathlib import Path

from hear_mwmae.audio import AUDIO_SUFFIXES
from hear_mwmae.errors import UserError
from hear_mwmae.names import printable
from hear_mwmae.supervised.data.layouts.listing import PARTS, Entry, Listing, names_below, relative_name
from hear_mwmae.supervised.data.layouts.text import read_lines

LIST = "iden_split.txt"
_LINE = re.compile(r"([123])\s+(\S+)")


def recognises(path: Path) -> bool:
    """Tell whether the list of the parts is there."""
    return (path / LIST).is_file()


def read(directory: Path, sound: Path | None, subset: str) -> Listing:
    """Read the list; files are found at any depth by SPEAKER/VIDEO/FILE, which is a clip's id.

    Raises:
        UserError: a line that is not as in the data set, a clip that is there twice.
    """
    file, folder = directory / LIST, sound or directory
    rows: list[tuple[int, str, str]] = []
    for line, text in read_lines(file):
        where = f"{printable(file)}: line {line}"
        match = _LINE.fullmatch(text)
        name = relative_name(match[2], where) if match else ""
        if not match or name.count("/") != 2:
            raise UserError(f"{where} is not of the kind '1 SPEAKER/VIDEO/FILE.wav' (1, 2 or 3); correct it.")
        rows.append((line, PARTS[int(match[1]) - 1], name))
    wanted = {name for _, _, name in rows}
    found: dict[str, str] = {}
    for path in names_below(folder, AUDIO_SUFFIXES):
        name = "/".join(path.split("/")[-3:])
        if name in wanted and found.setdefault(name, path) != path:
            raise UserError(
                f"{printable(folder)} has both {printable(found[name])} and {printable(path)}; keep "
                "one of them."
            )
    return Listing(
        name="voxceleb1",
        entries=tuple(
            Entry(
                name, folder / found[name] if name in found else None, (name.split("/")[0],), part, file, line
            )
            for line, part, name in rows
        ),
    )
