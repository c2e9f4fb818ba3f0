"""The command that builds a HEAR task directory from raw recordings: those of a data set, or one's own."""

from collections.abc import Sequence
from pathlib import Path

from tasks.build.own import plan_own_task
from tasks.build.pipeline import Builder, build_plan, make_plan
from tasks.errors import TaskError
from tasks.hear.beijing_opera import BEIJING_OPERA, list_beijing_opera
from tasks.hear.crema_d import CREMA_D, list_crema_d
from tasks.hear.esc50 import ESC50, list_esc50
from tasks.hear.fsd50k import FSD50K, list_fsd50k
from tasks.hear.libricount import LIBRICOUNT, list_libricount
from tasks.hear.mridangam_stroke import MRIDANGAM_STROKE, list_strokes
from tasks.hear.mridangam_tonic import MRIDANGAM_TONIC, list_tonics
from tasks.hear.nsynth_pitch import NSYNTH_PITCH, list_nsynth
from tasks.hear.speech_commands import SPEECH_COMMANDS, list_speech_commands
from tasks.hear.spoken_digit import SPOKEN_DIGIT, list_spoken_digit
from tasks.hear.vox_lingua import VOX_LINGUA, list_vox_lingua
from tasks.work import Progress, Say

BUILDERS = (
    Builder(BEIJING_OPERA, list_beijing_opera),
    Builder(CREMA_D, list_crema_d),
    Builder(ESC50, list_esc50),
    Builder(LIBRICOUNT, list_libricount),
    Builder(MRIDANGAM_STROKE, list_strokes),
    Builder(MRIDANGAM_TONIC, list_tonics),
    Builder(NSYNTH_PITCH, list_nsynth),
    Builder(SPEECH_COMMANDS, list_speech_commands),
    Builder(FSD50K, list_fsd50k),
    Builder(VOX_LINGUA, list_vox_lingua),
    Builder(SPOKEN_DIGIT, list_spoken_digit),
)
"""The paper's ten tasks in its order, and HEAR's task for development."""


def build_task(
    name: str,
    raw: Path | str,
    out: Path | str,
    *,
    sample_rates: Sequence[int] | None = None,
    skip_bad: int = 0,
    say: Say = print,
    reading: Progress | None = None,
    progress: Progress | None = None,
) -> Path:
    """Build task `name` ("esc50", or the short "ESC-50") from the recordings in `raw`.

    Returns its directory in `out`. Fewer clips than the data set has make `<name>-part`, which says so in
    its metadata. What is left out and what was done is told through `say`. Without `sample_rates` (Hz) those
    of `pipeline.DEFAULT_RATES` are written, or the highest of the recordings' where that is lower. A
    task that is already there is left alone. Up to `skip_bad` recordings that cannot be read are left out
    and named: all are read once to find them, which `reading` is told of, before the clips are written,
    which `progress` is told of. Raises TaskError for an unknown name, for missing, unknown or bad
    recordings, or when another task is in the way.
    """
    builder = _find_builder(name)
    _check_apart(Path(raw), Path(out))
    return build_plan(
        make_plan(builder, Path(raw)),
        Path(out),
        sample_rates=sample_rates,
        skip_bad=skip_bad,
        say=say,
        reading=reading,
        progress=progress,
    )


def build_own_task(
    table: Path | str,
    raw: Path | str,
    out: Path | str,
    *,
    seconds: float | None = None,
    nfolds: int | None = None,
    note: str | None = None,
    sample_rates: Sequence[int] | None = None,
    skip_bad: int = 0,
    say: Say = print,
    reading: Progress | None = None,
    progress: Progress | None = None,
) -> Path:
    """Build a task of one's own, named as the CSV `table` that lists its recordings in the folder `raw`.

    The table has the columns filename (a path in `raw`), label (several are separated by `;`) and one of
    split (train, valid, test), fold (any values), group (recordings that stay together in one of `nfolds`
    folds, by default 5). Clips last `seconds`, by default as long as the longest recording; `note` is kept
    in the metadata. What is returned, told and raised, and the other parameters, are as in `build_task`.
    """
    return build_plan(
        plan_own_task(Path(table), Path(raw), seconds=seconds, nfolds=nfolds, note=note),
        Path(out),
        sample_rates=sample_rates,
        skip_bad=skip_bad,
        say=say,
        reading=reading,
        progress=progress,
    )


def _find_builder(name: str) -> Builder:
    for builder in BUILDERS:
        if name.lower() in (builder.info.metadata.task_name, builder.info.short_name.lower()):
            return builder
    known = ", ".join(builder.info.metadata.task_name for builder in BUILDERS)
    raise TaskError(f"there is no builder for {name!r}; there are builders for: {known}.")


def _check_apart(raw: Path, out: Path) -> None:
    if raw.resolve() in (out.resolve(), *out.resolve().parents):
        raise TaskError(
            f"{out} lies in {raw}, where clips would be taken for recordings; choose another --out."
        )
