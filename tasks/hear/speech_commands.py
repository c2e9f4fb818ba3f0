"""Speech Commands, 5 hours: which of ten words, another word, or silence."""

from pathlib import Path

from tasks.errors import TaskError
from tasks.format.audio import measure
from tasks.format.clips import Recording
from tasks.format.folders import contents_below
from tasks.hear.info import TaskInfo, split_metadata
from tasks.hear.raw import find_one
from tasks.work import Say

SPEECH_COMMANDS = TaskInfo(
    short_name="SC-5h",
    metadata=split_metadata(
        *("speech_commands", "v0.0.2", "5h"),
        sample_duration=1.0,
        evaluation=("top1_acc",),
        max_seconds={"train": 16000, "valid": 2000},
    ),
    clips=22890,
    hours=6.5,
    classes=12,
    description="Keyword spotting, reduced training subset",
    citation="warden2018speech",
    licence="CC BY 4.0",
    recordings=100503,
)

_LABELS = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes", "_silence_")


def list_speech_commands(raw: Path, note: Say) -> list[Recording]:
    """The data set's own validation list, its test archive, and the rest of its words for training.

    Cuts of the background noise are the class `_silence_`, those of the running tap for validation.
    """
    train = find_one(raw, "validation_list.txt", "validation_list.txt of the training archive").parent
    test = find_one(raw, "_unknown_", "test archive (with a folder _unknown_)").parent
    if train == test:
        raise TaskError(f"both archives are in {train}, which mixes them; unpack each into its own folder.")
    valid, held_out = (_paths(train, f"{name}_list.txt") for name in ("validation", "testing"))
    sounds = _sounds(train)
    words = valid.union(p for p in sounds if not p.parent.name.startswith("_"))
    listed = [_word(p, "valid" if p in valid else "train") for p in sorted(words - held_out)]
    for path in (p for p in sounds if p.parent.name == "_background_noise_"):
        listed += _silences(path, "valid" if path.stem.startswith("running_tap") else "train")
    return listed + [_word(path, "test") for path in _sounds(test)]


def _sounds(archive: Path) -> list[Path]:
    """The wav files in the folders of an unpacked archive."""
    return [p for p in contents_below(archive)[0] if p.suffix == ".wav" and p.parent.parent == archive]


def _paths(train: Path, name: str) -> set[Path]:
    file = train / name
    try:
        return {train / line for line in file.read_text(encoding="utf-8").split()}
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{file} is not there or no list of files in UTF-8; restore it.") from error


def _word(path: Path, split: str) -> Recording:
    word = path.parent.name
    return Recording(path, (word if word in _LABELS else "_unknown_",), split, f"{word}_{path.stem}")


def _silences(path: Path, split: str) -> list[Recording]:
    """A cut of one second at every half second of a background noise."""
    samples, rate = measure(path)
    starts = range(0, samples - rate, rate // 2)
    return [Recording(path, ("_silence_",), split, f"_silence__{path.stem}-{i}", i) for i in starts]
