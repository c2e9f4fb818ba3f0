"""Speech Commands, all of it: which of ten words, another word, or silence."""

import dataclasses

from tasks.hear.info import split_metadata
from tasks.hear.speech_commands import SPEECH_COMMANDS

SPEECH_COMMANDS_FULL = dataclasses.replace(
    SPEECH_COMMANDS,
    short_name="SC-full",
    metadata=split_metadata(
        *("speech_commands", "v0.0.2", "full"), sample_duration=1.0, evaluation=("top1_acc",)
    ),
    clips=100503,
    hours=27.9,
    description="Keyword spotting, whole training set",
    recordings=None,
)
