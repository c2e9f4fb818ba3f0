"""LibriCount: how many people, 0 to 10, speak at once."""

from tasks.info import TaskInfo, five_fold_metadata

LIBRICOUNT = TaskInfo(
    short_name="LC",
    metadata=five_fold_metadata("libricount", "v1.0.0-hear2021", sample_duration=5.0),
    clips=5720,
    hours=8.0,
    classes=11,
    description="Speaker count identification, simulated cocktail party",
    citation="stoter2018classification",
    licence="CC BY 4.0",
)
