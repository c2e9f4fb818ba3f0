"""What labelled data are, whatever layout they come in: clips with classes, divided for one run."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path


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
