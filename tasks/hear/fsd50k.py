"""FSD50K: which of 200 sound classes are heard; clips of 0.3 to 30 s."""

from pathlib import Path

from tasks.errors import TaskError
from tasks.format.clips import Recording
from tasks.format.tables import check_look_alikes, read_rows
from tasks.hear.folds import permuted
from tasks.hear.info import MULTILABEL_SCORES, TaskInfo, split_metadata
from tasks.hear.raw import find_one
from tasks.work import Say

FSD50K = TaskInfo(
    short_name="F50K",
    metadata=split_metadata(
        *("fsd50k", "v1.0", "full"),
        sample_duration=None,
        evaluation=MULTILABEL_SCORES,
        prediction_type="multilabel",
    ),
    clips=51185,
    hours=100.0,
    classes=200,
    description="Multilabel, large scale audio tagging",
    citation="fonseca2022fsd50k",
    licence="per clip: CC0, CC BY, CC BY-NC, CC Sampling+",
)

_SPLITS = {"train": "train", "val": "valid", "test": "test"}
_LONGER_THAN_30_S = (
    *("83298", "83299", "121351", "121426", "121471", "121472"),
    *("124796", "124797", "124800", "124834", "124858", "397150"),
)


def list_fsd50k(raw: Path, note: Say) -> list[Recording]:
    """Clips of the two tables of the ground truth, less twelve that HEAR removes for their length.

    A clip's labels are in HEAR's order: that of all (clip, label) pairs, sorted and then shuffled.
    """
    clips: dict[str, tuple[Path, str, list[str]]] = {}
    for part, columns in (("dev", ("fname", "labels", "split")), ("eval", ("fname", "labels"))):
        file = find_one(raw, f"FSD50K.ground_truth/{part}.csv", f"FSD50K.ground_truth/{part}.csv")
        folder = find_one(raw, f"FSD50K.{part}_audio", f"folder FSD50K.{part}_audio")
        rows = read_rows(file, columns)
        lines = {label: row.line for row in reversed(rows) for label in row["labels"].split(",")}
        check_look_alikes(file, "label", lines)
        for row in rows:
            split = _SPLITS.get(row.get("split", "test"))
            if split is None:
                raise TaskError(
                    f"{file}: the split of {row['fname']} must be train or val; restore the file."
                )
            if row["fname"] in clips:
                raise TaskError(f"{file}: line {row.line} names {row['fname']} again; restore the file.")
            clips[row["fname"]] = (folder / f"{row['fname']}.wav", split, row["labels"].split(","))
    kept = [name for name in clips if name not in _LONGER_THAN_30_S]
    pairs = sorted((name, label) for name in kept for label in clips[name][2])
    labels: dict[str, list[str]] = {name: [] for name in kept}
    for i in permuted(len(pairs), "postprocess_all_metadata"):
        labels[pairs[i][0]].append(pairs[i][1])
    return [Recording(clips[name][0], tuple(labels[name]), clips[name][1]) for name in kept]
