"""VoxLingua107, top ten: which language is spoken."""

from tasks.info import TaskInfo, five_fold_metadata

VOX_LINGUA = TaskInfo(
    short_name="VL",
    metadata=five_fold_metadata("vox_lingua_top10", "hear2021", sample_duration=18.64),
    clips=972,
    hours=5.0,
    classes=10,
    description="Spoken language identification",
    citation="valk2021voxlingua107",
    licence="CC BY 4.0 (cut from videos whose rights stay with their owners)",
)
