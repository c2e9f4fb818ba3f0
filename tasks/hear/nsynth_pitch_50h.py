"""NSynth, 50 hours: which of 88 pitches an instrument plays."""

import dataclasses

from tasks.hear.info import split_metadata
from tasks.hear.nsynth_pitch import NSYNTH_PITCH

NSYNTH_PITCH_50H = dataclasses.replace(
    NSYNTH_PITCH,
    short_name="NS-50h",
    metadata=split_metadata(
        *("nsynth_pitch", "v2.2.3", "50h"),
        sample_duration=4.0,
        evaluation=("pitch_acc", "chroma_acc"),
        max_seconds={"train": 160000, "valid": 20000, "test": 20000},
    ),
    clips=49060,
    hours=54.5,
    description="88-way pitch classification, larger training subset",
)
