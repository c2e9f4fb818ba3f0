"""CREMA-D: which of six emotions an actor's voice shows."""

import re
from pathlib import Path

from tasks.format.clips import Recording
from tasks.hear.info import TaskInfo, kfold_metadata
from tasks.hear.raw import labelled_by_name, labelled_by_tfds
from tasks.work import Say

_NAME = re.compile(r"\d{4}_[A-Z]{3}_(?P<label>ANG|DIS|FEA|HAP|NEU|SAD)_[A-Z]{1,2}")
_NOT_IN_TFDS = {"1006_TIE_NEU_XX", "1013_WSI_DIS_XX", "1017_IWW_FEA_XX", "1040_ITH_SAD_X", "1040_ITH_SAD_XX"}

CREMA_D = TaskInfo(
    short_name="CD",
    metadata=kfold_metadata("tfds_crema_d", "1.0.0", sample_duration=5.0),
    clips=7438,
    hours=10.0,
    classes=6,
    description="Emotion recognition",
    citation="cao2014crema",
    licence="ODbL 1.0",
)


def list_crema_d(raw: Path, note: Say) -> list[Recording]:
    """TFDS's tables (crema_d 1.0.0) where there are some, else the third field of AudioWAV's file names.

    Clips that TFDS leaves out are left out. TFDS numbers its clips, and HEAR's folds follow from these
    numbers: folds made from AudioWAV's names are other ones.
    """
    by_tfds = labelled_by_tfds(raw)
    if by_tfds:
        return by_tfds
    note("the folds are not those of HEAR's archive, which follow from names that TFDS gave the clips")
    return [r for r in labelled_by_name(raw, _NAME) if r.stem not in _NOT_IN_TFDS]
