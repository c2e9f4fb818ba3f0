"""What labelled data are, whatever layout they come in: clips with classes, divided for one run."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from hear_mwmae.errors import UserError
from hear_mwmae.files import write_text
from hear_mwmae.json_files import read_json
from hear_mwmae.names import printable

CLASSES_FILE = "classes.json"
"""Of a supervised run's directory: the names of its classes, in the order of the head."""


@dataclass(frozen=True)
class LabelledClip:
    """One recording or picture and what it is."""

    id: str
    """Path relative to the data set's folder of sound, with forward slashes, or the data set's own id."""
    path: Path
    labels: tuple[int, ...]
    """Positions in `LabelledData.classes`, ascending; a clip of a set that is not multi-label has one."""


@dataclass(frozen=True)
class LabelledData:
    """A labelled data set as one run uses it; no clip is in two of its three parts."""

    name: str
    """As tables call it, such as "esc50" or the name of a table's file."""
    classes: tuple[str, ...]
    multilabel: bool
    training: tuple[LabelledClip, ...]
    validation: tuple[LabelledClip, ...]
    """Decides between epochs and between probes; empty where the data set has none."""
    test: tuple[LabelledClip, ...]
    missing: tuple[str, ...] = ()
    """Ids that the data set's lists name and that are not there."""
    fold: str = ""
    """The fold that is tested; empty where the data set has splits."""

    @property
    def digest(self) -> str:
        """SHA-256 of classes, parts, ids, labels and the sizes of the files, as hexadecimal digits."""
        parts = [
            [[clip.id, clip.labels, clip.path.stat().st_size] for clip in part]
            for part in (self.training, self.validation, self.test)
        ]
        text = json.dumps([self.classes, self.multilabel, parts])
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def write_classes(data: LabelledData, workdir: Path) -> None:
    """Write the names of the classes of a run."""
    write_text(workdir / CLASSES_FILE, json.dumps(data.classes, indent=1))


def read_classes(workdir: Path) -> list[str]:
    """Read what `write_classes` wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        classes = read_json(workdir / CLASSES_FILE)
    except OSError as error:
        raise UserError(
            f"{printable(workdir / CLASSES_FILE)}: cannot be read ({error.strerror}); run the command of the "
            "run again, which writes it."
        ) from None
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise UserError(f"{printable(workdir / CLASSES_FILE)}: is no list of names; delete it and run again.")
    return classes
