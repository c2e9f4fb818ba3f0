"""Everything about one model in one frozen dataclass, and the models of Table 1 by name.

The same `ModelConfig` describes a model to the embedding package, to pre-training and in the exported file.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, TypeVar

from hear_mwmae.errors import UserError
from hear_mwmae.json_files import parse_json
from hear_mwmae.names import printable

# "rgb_224": a picture of 224 x 224 pixels, its rows as frames, and as bands red, green, blue of each column.
FRONT_END_BANDS = {"log_mel_80": 80, "fbank_128": 128, "rgb_224": 672}
POSITION_CODES = ("trained", "fixed")
CONVENTIONS = ("mw_mae", "audio_mae")
POSITION_GRIDS = ("true", "audiomae-released")
DECODER_ATTENTIONS = ("global", "local")
LOCAL_WINDOW = 4
"""Columns, and bands, of a window of local attention."""
POSITION_HIDDEN = 384
"""Width of the network that makes the position bias of local attention."""
MASKS = ("random", "time", "frequency", "time+frequency")
OBJECTIVES = ("reconstruction", "contrastive", "both")
PRECISIONS = ("float32", "bf16")
"""Of the encoder's arithmetic."""
TIMESTAMPS = ("hear", "centre")
"""When an embedding is: spread evenly from 0 as the released code does, or at the centre of its sound."""
WEIGHTS_VARIABLE = "HEAR_MWMAE_WEIGHTS"
"""The environment's variable that names a folder of weights."""
# Beyond every model that anybody has trained; a file that says more is wrong, and would fill the memory.
LARGEST = {
    "width": 1 << 16, "depth": 1024, "heads": 1024, "mlp_ratio": 64,
    "decoder_width": 1 << 16, "decoder_depth": 1024, "decoder_heads": 1024,
}  # fmt: skip
LONGEST_INPUT = 100_000
MOST_PARAMETERS = 100_000_000_000

Value = TypeVar("Value")


@dataclass(frozen=True)
class ModelConfig:
    """Shape of a masked autoencoder (MW-MAE: paper sections 3 and 4.1, Table 4; Audio-MAE: its supplement).

    Sizes are in (time, frequency) order: frames of 10 ms by mel bands. Head counts must divide their widths
    and patches must tile the input.

    Raises:
        UserError: sizes that do not fit each other.
    """

    input_size: tuple[int, int] = (200, 80)
    patch_size: tuple[int, int] = (4, 16)
    front_end: str = "log_mel_80"
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: int = 4
    class_token: bool = False
    """The plain MAE has one, the MW-MAE has none. A decoder with windows drops it before its blocks."""
    position_codes: str = "trained"
    """"trained" as in the released code (they start as sinusoids), or "fixed" as the paper words it."""
    encoder_windows: tuple[int, ...] = ()
    """One window length in tokens per encoder head, 0 for a global head; empty for plain attention (Table 2).

    Pre-training encodes the kept tokens only and embedding encodes all: windows must divide both counts."""
    decoder_width: int = 384
    decoder_depth: int = 4
    decoder_heads: int = 8
    decoder_windows: tuple[int, ...] = ()
    """One window length in tokens per decoder head, 0 for a global head; empty for plain attention."""
    relative_position_bias: bool = True
    """Whether windowed heads add a learned bias per relative position."""
    conventions: str = "mw_mae"
    """Whose program is followed where the two differ and the papers are silent: "mw_mae" has GELU by tanh, a
    decoder with 1-D position codes, the population's variance in `norm_pix_loss`, and embeds a column as the
    concatenation of its bands; "audio_mae" has the exact GELU, 2-D codes, the variance by n - 1, the mean."""
    position_grid: str = "true"
    """"audiomae-released": the codes of a grid with time and frequency swapped, as Audio-MAE's files have."""
    decoder_attention: str = "global"
    """"local": windows of 4 columns x 4 bands, shifted in time in every second block (Audio-MAE)."""
    decoder_shift: bool = True
    """Whether local windows are shifted."""
    feature_mean: float = 0.0
    feature_std: float = 0.0
    """Of the data's front end, which becomes (x - mean) / (2 std); 0: each clip by its own mean and std."""
    mask: str = "random"
    """Single patches ("random"), or whole columns and bands, of which what is left of both is visible."""
    mask_ratio: float = 0.8
    """Share of the patches that a random mask hides."""
    mask_time_ratio: float = 0.7
    """Share of the columns that "time" and "time+frequency" hide."""
    mask_frequency_ratio: float = 0.3
    """Share of the bands that "frequency" and "time+frequency" hide."""
    objective: str = "reconstruction"
    """"contrastive": InfoNCE of masked patches, from a head of its own; "both" adds it to the reconstruction
    with `contrastive_weight` (supplement, equation 1 and Table 3)."""
    contrastive_weight: float = 0.2
    norm_pix_loss: bool = False
    norm_after_pooling: bool = False
    """Whether the encoder's last normalisation is of the tokens' mean, as in a fine-tuned Audio-MAE."""

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise UserError(f"Model configuration: {problem}.")

    def _problem(self) -> str:
        if self.front_end not in FRONT_END_BANDS:
            return f"front_end {self.front_end!r} is unknown, use one of {sorted(FRONT_END_BANDS)}"
        bands = FRONT_END_BANDS[self.front_end]
        if self.input_size[1] != bands:
            return f"input_size {self.input_size} does not have the {bands} bands of its front end"
        numbers = (*self.input_size, *self.patch_size, self.width, self.depth, self.heads, self.mlp_ratio)
        if min(*numbers, self.decoder_width, self.decoder_depth, self.decoder_heads) < 1:
            return "every size, depth and head count must be at least 1"
        for name, most in LARGEST.items():
            if getattr(self, name) > most:
                return f"{name} {getattr(self, name)} is beyond {most}, the most that is built"
        if self.input_size[0] > LONGEST_INPUT:
            return f"input_size {self.input_size} is beyond {LONGEST_INPUT} frames, the most that is built"
        if any(size % patch for size, patch in zip(self.input_size, self.patch_size, strict=True)):
            return f"patch_size {self.patch_size} does not tile input_size {self.input_size}"
        if self.width % self.heads or self.decoder_width % self.decoder_heads:
            return (
                f"the head counts {self.heads} and {self.decoder_heads} of encoder and decoder do not divide "
                f"their widths {self.width} and {self.decoder_width}"
            )
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                return f"{name} {getattr(self, name)!r} is unknown, use one of {choices}"
        if self.width % 4 or self.decoder_width % (4 if self.conventions == "audio_mae" else 2):
            return (
                f"width {self.width} is no multiple of 4, or decoder_width {self.decoder_width} none of 2 "
                '(of 4 in "audio_mae")'
            )
        for name in ("mask_ratio", "mask_time_ratio", "mask_frequency_ratio"):
            if not 0 < getattr(self, name) < 1:
                return f"{name} {getattr(self, name)} is not between 0 and 1"
        if not 0 < self.kept_tokens < self.tokens:
            return f"the mask {self.mask!r} keeps {self.kept_tokens} of {self.tokens} tokens"
        if self.feature_std < 0 or self.contrastive_weight < 0:
            return "feature_std and contrastive_weight must not be negative"
        if self._rough_parameters > MOST_PARAMETERS:
            return (
                f"{self._rough_parameters:.1e} parameters are beyond {MOST_PARAMETERS:.0e}, the most that is "
                "built"
            )
        return self._problem_of_windows()

    @property
    def _rough_parameters(self) -> int:
        """Those of the large matrices."""
        stacks = ((self.width, self.depth), (self.decoder_width, self.decoder_depth))
        per_width = 4 + 2 * self.mlp_ratio
        return sum((per_width * width * depth + self.tokens) * width for width, depth in stacks)

    def _problem_of_windows(self) -> str:
        if self.decoder_attention == "local":
            if self.decoder_windows:
                return "decoder_windows are of another kind of decoder than decoder_attention 'local'"
            if any(size % LOCAL_WINDOW for size in self.grid):
                return f"the grid {self.grid} is not made of local windows of {LOCAL_WINDOW} x {LOCAL_WINDOW}"
        if self.encoder_windows and self.class_token:
            return "a class token fits into no window of encoder_windows, set class_token to false"
        decoder = ("decoder", self.decoder_windows, self.decoder_heads, {self.tokens})
        encoder = ("encoder", self.encoder_windows, self.heads, {self.tokens, self.kept_tokens})
        for part, windows, heads, counts in (decoder, encoder):
            if windows and len(windows) != heads:
                return f"{len(windows)} {part}_windows for {heads} heads of the {part}"
            if any(window < 0 or (window and count % window) for window in windows for count in counts):
                numbers = " and the ".join(map(str, sorted(counts)))
                return f"every one of {part}_windows must divide the {numbers} tokens or be 0"
        return ""

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along (time, frequency)."""
        return self.input_size[0] // self.patch_size[0], self.input_size[1] // self.patch_size[1]

    @property
    def tokens(self) -> int:
        """Patches in one input, the class token not counted."""
        return self.grid[0] * self.grid[1]

    @property
    def kept_grid(self) -> tuple[int, int]:
        """Columns and bands that a structured mask leaves, rounded down as in Audio-MAE's program."""
        columns, bands = self.grid
        if self.mask in ("time", "time+frequency"):
            columns = kept_share(columns, self.mask_time_ratio)
        if self.mask in ("frequency", "time+frequency"):
            bands = kept_share(bands, self.mask_frequency_ratio)
        return columns, bands

    @property
    def kept_tokens(self) -> int:
        """Patches that pre-training leaves visible.

        Of a random mask rounded down as in the released code of MW-MAE; in Audio-MAE the nearest number, as
        its supplement counts.
        """
        if self.mask != "random":
            return self.kept_grid[0] * self.kept_grid[1]
        if self.conventions == "audio_mae":
            return round(self.tokens * (1 - self.mask_ratio))
        return kept_share(self.tokens, self.mask_ratio)

    @property
    def mask_draws(self) -> int:
        """Uniform numbers that decide the mask of one input: one per patch, or per column and per band."""
        return self.tokens if self.mask == "random" else sum(self.grid)

    @property
    def decoder_tokens(self) -> int:
        """Tokens that the decoder sees: the patches, and the class token where there are no windows."""
        windows = bool(self.decoder_windows) or self.decoder_attention == "local"
        return self.tokens + (self.class_token and not windows)

    @property
    def embedding_size(self) -> int:
        """Length of one embedding: the tokens of one time column, concatenated or, in Audio-MAE, averaged."""
        return self.width if self.conventions == "audio_mae" else self.grid[1] * self.width

    def to_json(self) -> str:
        """Write the configuration as a JSON object with sorted keys."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str, *, source: str = "model configuration") -> "ModelConfig":
        """Read what `to_json` wrote; `source` names the file in error messages.

        Raises:
            UserError: not a JSON object, an unknown key, or a value of the wrong type.
        """
        values = parse_json(text, f"{source}: the model configuration")
        if not isinstance(values, dict):
            raise UserError(f"{source}: the model configuration is not a JSON object.")
        defaults: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - set(defaults))
        if unknown:
            raise UserError(
                f"{source}: unknown key {printable(unknown[0])!r} in the model configuration; "
                "it may come from a newer version of this package: update it."
            )
        return cls(**{key: typed(key, value, defaults[key], source) for key, value in values.items()})


_CHOICES = {
    "position_codes": POSITION_CODES,
    "conventions": CONVENTIONS,
    "position_grid": POSITION_GRIDS,
    "decoder_attention": DECODER_ATTENTIONS,
    "mask": MASKS,
    "objective": OBJECTIVES,
}


def kept_share(count: int, masked: float) -> int:
    """Return what hiding a share of `count` leaves, rounded down.

    In per cent, as 250 * (1 - 0.8) is 49.99... in floats.
    """
    return int(count * (100 - 100 * masked) / 100)


def typed(key: str, value: Any, default: Value, source: str) -> Value:
    """Return a JSON value as the type of the field's default.

    Raises:
        UserError: it has another type.
    """
    if isinstance(default, tuple) and default and isinstance(default[0], float):
        fits = isinstance(value, list) and all(type(item) in (int, float) for item in value)
        value = tuple(map(float, value)) if fits else value
    elif isinstance(default, tuple):
        fits = isinstance(value, list) and all(type(item) is int for item in value)
        fits = fits and (not default or len(value) == len(default))
        value = tuple(value) if fits else value
    elif isinstance(default, float):
        fits = type(value) in (int, float)
        value = float(value) if fits else value
    else:
        fits = type(value) is type(default)
    if not fits:
        shown = printable(repr(value)[:80])
        raise UserError(f"{source}: {key} = {shown} in the configuration has the wrong type.")
    return value


def paper_windows(tokens: int) -> tuple[int, ...]:
    """Window of every decoder head by the paper's rule: the proper divisors above 1, then two global heads.

    >>> paper_windows(250)
    (2, 5, 10, 25, 50, 125, 0, 0)
    """
    return (*(window for window in range(2, tokens) if tokens % window == 0), 0, 0)


def with_paper_windows(config: ModelConfig) -> ModelConfig:
    """Give a model the decoder windows of the paper's rule, and as many decoder heads."""
    windows = paper_windows(config.tokens)
    return dataclasses.replace(config, decoder_heads=len(windows), decoder_windows=windows)


@dataclass(frozen=True)
class NamedModel:
    """A model that has a HEAR module of its own."""

    config: ModelConfig
    row: str
    """Row of the paper's tables."""
    released_directory: str = ""
    """Directory that the authors of the paper released, where there is one."""


BASE = ModelConfig()
LARGE = dataclasses.replace(BASE, width=1024, depth=24, heads=16, decoder_depth=8)
TINY = dataclasses.replace(BASE, width=192, heads=3)
AUDIO_MAE_B = ModelConfig(
    input_size=(1024, 128),
    patch_size=(16, 16),
    front_end="fbank_128",
    class_token=True,
    position_codes="fixed",
    conventions="audio_mae",
    feature_mean=-4.2677393,
    feature_std=4.5689974,
    decoder_width=512,
    decoder_depth=16,
    decoder_heads=16,
    decoder_attention="local",
)
"""As pre-trained on AudioSet, with the mean and deviation of its filter banks (supplement, Table 1)."""
BASE_5X5 = dataclasses.replace(BASE, patch_size=(5, 5), decoder_heads=16)


def _mae(config: ModelConfig) -> ModelConfig:
    return dataclasses.replace(config, class_token=True)


NAMED_MODELS = {
    "mae_b": NamedModel(_mae(BASE), "MAE-B-4x16-4l", "mae_base_200_4x16_8x128_default_run1"),
    "mae_b_5x5": NamedModel(_mae(BASE_5X5), "MAE-B-5x5-4l"),
    "mae_l_8l": NamedModel(_mae(LARGE), "MAE-L-4x16-8l"),
    "mw_mae_b": NamedModel(
        with_paper_windows(BASE), "MW-MAE-B-4x16-4l", "mwmae_base_200_4x16_8x128_default_bfloat16_run1"
    ),
    "mw_mae_b_5x5": NamedModel(with_paper_windows(BASE_5X5), "MW-MAE-B-5x5-4l"),
    "mw_mae_l_8l": NamedModel(with_paper_windows(LARGE), "MW-MAE-L-4x16-8l"),
    "audio_mae_b": NamedModel(AUDIO_MAE_B, "AudioMAE"),
    "mae_t": NamedModel(_mae(TINY), "ViT-T MAE (Table 8)"),
    "mw_mae_t": NamedModel(with_paper_windows(TINY), "ViT-T MW-MAE (Table 8)"),
}


def named_model(name: str) -> NamedModel:
    """Look a model up by name.

    Raises:
        UserError: no such model.
    """
    if name not in NAMED_MODELS:
        raise UserError(f"There is no model {name!r}; use one of {', '.join(NAMED_MODELS)}.")
    return NAMED_MODELS[name]
