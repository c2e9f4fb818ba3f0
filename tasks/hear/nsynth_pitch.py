"""NSynth, 5 hours: which of 88 pitches an instrument plays."""

from pathlib import Path

from tasks.errors import TaskError
from tasks.format.clips import Recording
from tasks.format.metadata import read_json_object
from tasks.hear.info import TRAIN_VALID_TEST, TaskInfo, split_metadata
from tasks.hear.raw import find_one
from tasks.work import Say

NSYNTH_PITCH = TaskInfo(
    short_name="NS-5h",
    metadata=split_metadata(
        *("nsynth_pitch", "v2.2.3", "5h"),
        sample_duration=4.0,
        evaluation=("pitch_acc", "chroma_acc"),
        max_seconds={"train": 16000, "valid": 2000, "test": 2000},
    ),
    clips=5000,
    hours=5.5,
    classes=88,
    description="88-way pitch classification, reduced training subset",
    citation="engel2017neural",
    licence="CC BY 4.0",
)

_PIANO = range(21, 109)
_MAX_BYTES = 512 << 20
"""The table of the training notes has about 220 MB."""


def list_nsynth(raw: Path, note: Say) -> list[Recording]:
    """Every note that the three examples.json name, with a MIDI pitch that a piano has (21 to 108)."""
    return [recording for split in TRAIN_VALID_TEST for recording in _list_split(raw, split)]


def _list_split(raw: Path, split: str) -> list[Recording]:
    name = f"nsynth-{split}/examples.json"
    file = find_one(raw, name, name)
    notes = read_json_object(file, _MAX_BYTES)
    pitches = {stem: note.get("pitch") if isinstance(note, dict) else None for stem, note in notes.items()}
    if any(type(pitch) is not int for pitch in pitches.values()):
        raise TaskError(f"{file} is not NSynth's table of notes and pitches; restore it.")
    sound = file.parent / "audio"
    return [
        Recording(sound / f"{stem}.wav", (str(pitch),), split)
        for stem, pitch in pitches.items()
        if pitch in _PIANO
    ]
