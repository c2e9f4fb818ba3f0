"""VoxLingua107, top ten: which language is spoken."""

from collections import Counter
from pathlib import Path

from tasks.format.clips import Recording
from tasks.hear.info import TaskInfo, kfold_metadata
from tasks.hear.raw import sounds_below
from tasks.work import Say

_LANGUAGES = 10

VOX_LINGUA = TaskInfo(
    short_name="VL",
    metadata=kfold_metadata("vox_lingua_top10", "hear2021", sample_duration=18.64),
    clips=972,
    hours=5.0,
    classes=10,
    description="Spoken language identification",
    citation="valk2021voxlingua107",
    licence="CC BY 4.0 (cut from videos whose rights stay with their owners)",
)


def list_vox_lingua(raw: Path, note: Say) -> list[Recording]:
    """The language is the sound file's folder; the ten with the most files are kept.

    HEAR leaves open which of two languages with as many files comes first: here it is the alphabet.
    """
    sounds = sounds_below(raw)
    counts = Counter(path.parent.name for path in sounds)
    ranked = sorted(counts, key=lambda language: (-counts[language], language))
    kept, last = ranked[:_LANGUAGES], ranked[_LANGUAGES:]
    if last and counts[kept[-1]] == counts[last[0]]:
        note(
            f"the tenth language could as well be {last[0]} as {kept[-1]}: both have {counts[last[0]]} clips"
        )
    return [Recording(path, (path.parent.name,)) for path in sounds if path.parent.name in kept]
