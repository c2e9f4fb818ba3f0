"""One row of a published table as a run, the pair of runs that most rows come in, and a CPU-size variant.

Every run departs from one default: ViT-B, patches of 4x16, a decoder of 4 blocks of width 384, 100 epochs
of AS-5k in batches of 1024 (paper section 4.2 and Table 4). As in the released code a plain MAE has a class
token and an MW-MAE has none; both have as many decoder heads as the paper's rule gives windows (section 3.2).
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict, Unpack

from hear_mwmae.config import ModelConfig, with_paper_windows
from hear_mwmae.pretrain.settings import TrainConfig

# Clips of AS-5k; with them the run's 198 400 steps are those of the released schedule.
AUDIOSET_CLIPS = 2_032_320
SHRINK = 8


class EncoderSize(TypedDict):
    """Fields of `ModelConfig` in which the paper's encoders differ."""

    width: int
    depth: int
    heads: int


class Differences(TypedDict, total=False):
    """Fields of `ModelConfig` in which runs of one table differ."""

    patch_size: tuple[int, int]
    width: int
    depth: int
    heads: int
    decoder_depth: int


ENCODERS: dict[str, EncoderSize] = {
    "t": {"width": 192, "depth": 12, "heads": 3},
    "s": {"width": 384, "depth": 12, "heads": 6},
    "m": {"width": 512, "depth": 12, "heads": 8},
    "b": {"width": 768, "depth": 12, "heads": 12},
    "l": {"width": 1024, "depth": 24, "heads": 16},
    "h": {"width": 1280, "depth": 32, "heads": 16},
}
LARGE_NOTE = "The paper trained ViT-L and ViT-H in smaller batches, not stated (Table 4); here it is 1024."

# A published mean and the half width of its 95 % interval.
Score = tuple[float, float]


@dataclass(frozen=True)
class Run:
    """One pre-training run of a published table."""

    train: TrainConfig
    row: str
    """Row of the table, in the table's words."""
    published: Mapping[str, float]
    """What the paper reports: scores, and the half widths of their intervals under the same names + "_ci"."""
    note: str = ""
    """What the paper leaves open, and how it is settled here."""
    clips: int = AUDIOSET_CLIPS
    """Clips (of ImageNet: pictures) in the published training set, before `data_fraction`."""

    @property
    def clips_used(self) -> int:
        """Clips that `data_fraction` leaves, as expected of a draw by hash."""
        return round(self.clips * self.train.data_fraction)


def both(config: ModelConfig) -> tuple[ModelConfig, ModelConfig]:
    """The plain MAE and the MW-MAE of one shape; class token, windows and decoder heads are set here."""
    mw_mae = with_paper_windows(config)
    return dataclasses.replace(config, class_token=True, decoder_heads=mw_mae.decoder_heads), mw_mae


def pair(
    suffix: str,
    row: str,
    mae: Score,
    mw_mae: Score,
    *,
    data_fraction: float = 1.0,
    note: str = "",
    **model: Unpack[Differences],
) -> dict[str, Run]:
    """The runs `mae_<suffix>` and `mw_mae_<suffix>` of one shape, with their published s(m).

    Args:
        model: fields of `ModelConfig` that differ from the default.
    """
    names = (("mae", "MAE", mae), ("mw_mae", "MW-MAE", mw_mae))
    return {
        f"{name}_{suffix}": Run(
            TrainConfig(config, data_fraction=data_fraction), f"{row} {kind}", scores("s(m)", score), note
        )
        for (name, kind, score), config in zip(names, both(ModelConfig(**model)), strict=True)
    }


def scores(metric: str, score: Score) -> dict[str, float]:
    """A published score under the names of the table's columns."""
    return {metric: score[0], f"{metric}_ci": score[1]}


def tiny_run(run: Run) -> Run:
    """A run of the same kind for a CPU and some dozens of clips, in float32; its scores mean nothing.

    Widths are an eighth, the encoder's depth a sixth, the decoder's a half; head counts, patches, windows,
    class token, masking and data fraction stay. The learning rate is higher, as the run is short.
    """
    model = run.train.model
    model = dataclasses.replace(
        model,
        width=model.width // SHRINK,
        depth=model.depth // 6,
        decoder_width=model.decoder_width // SHRINK,
        decoder_depth=-(-model.decoder_depth // 2),
    )
    train = dataclasses.replace(
        run.train,
        model=model,
        epochs=10,
        warmup_epochs=1,
        batch_size=16,
        base_learning_rate=0.016,
        precision="float32",
    )
    note = f"A tiny variant for a CPU. {run.note}".strip()
    return dataclasses.replace(run, train=train, published={}, note=note)
