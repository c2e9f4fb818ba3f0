"""Any audio encoder of the Hugging Face kind as a HEAR module: `evaluation.baselines.huggingface@MODEL`.

MODEL is a name on the hub (`facebook/hubert-base-ls960`), looked for on this machine only, or a folder. Sound
is normalised as the model's own feature extractor says; a scene is the mean of the last hidden state over
time, a frame's time the middle of what it sees. Three kinds of encoder are known:

    kind                                             frame        hop     one part at most
    waveform (wav2vec 2.0, HuBERT, WavLM, ...)       its kernels  20 ms   30 s
    Whisper (its encoder)                            20 ms        20 ms   30 s, filled up with silence
    AST (bands of a time column are averaged)        16 x 10 ms   100 ms  10.1 s, filled up with silence

The sizes in the table are those of the usual models; what counts is the model's configuration. Longer clips
are cut as `evaluation.baselines.chunks` says, after the normalisation in the first kind, before it in the
others. Layers: `input`, what the first block gets, then `block1`, `block2`, ... up to the last hidden state.
"""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from evaluation.baselines.hub import HubModel, package
from evaluation.baselines.wrap import FrameModel, Frames, get_scene_embeddings, get_timestamp_embeddings
from evaluation.errors import EvaluationError

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

WEIGHTS_ARE_NAMES = True
"""What follows the @ may be a name that is no path."""

HERE_ONLY = {"local_files_only": True, "trust_remote_code": False}
UNUSED_WITHOUT_TRAINING = ("masked_spec_embed",)
"""Parameters that only training reads; many files lack them."""


@dataclass(frozen=True)
class Layout:
    """How an encoder's tokens lie in time: `special` ones first, then `bands` for each of the frames."""

    hop: int
    window: int
    longest_seconds: float
    from_waveform: bool = False
    special: int = 0
    bands: int = 1


def layout_of(config: Any, extractor: Any, name: str) -> Layout:
    """Read the layout (samples) off a configuration; EvaluationError for a kind that is not known."""
    if config.model_type == "whisper":
        seconds = extractor.chunk_length
        hop = seconds * extractor.sampling_rate // config.max_source_positions
        return Layout(hop, hop, seconds)
    if config.model_type == "audio-spectrogram-transformer":
        frame, frame_hop = (extractor.sampling_rate * ms // 1000 for ms in (25, 10))
        window, hop = frame + (config.patch_size - 1) * frame_hop, config.time_stride * frame_hop
        columns = (config.max_length - config.patch_size) // config.time_stride + 1
        bands = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
        return Layout(hop, window, columns * hop / extractor.sampling_rate, special=2, bands=bands)
    is_waveform = isinstance(extractor, package("transformers").Wav2Vec2FeatureExtractor)
    if is_waveform and hasattr(config, "conv_stride") and not hasattr(config, "squeeze_factor"):
        window, hop = 1, 1
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            window, hop = window + (kernel - 1) * hop, hop * stride
        return Layout(hop, window, 30.0, from_waveform=True)
    raise EvaluationError(
        f"{name} is of the kind '{config.model_type}', whose output has no time axis that is known here; "
        "write a HEAR module around it, for instance with evaluation.baselines.wrap"
    )


class HuggingFaceModel(FrameModel):
    """A HEAR model around an encoder and its feature extractor."""

    def __init__(self, encoder: torch.nn.Module, extractor: Any, layout: Layout) -> None:
        config: Any = encoder.config  # the library's own, as in layout_of
        super().__init__(
            encoder,
            sample_rate=extractor.sampling_rate,
            embedding_size=config.hidden_size,
            hop=layout.hop,
            window=layout.window,
            longest_seconds=layout.longest_seconds,
        )
        self._extractor = extractor
        self._layout = layout
        names = ["input", *(f"block{block + 1}" for block in range(config.num_hidden_layers))]
        self.layer_embedding_sizes = dict.fromkeys(names, config.hidden_size)

    def prepare(self, audio: Float[Tensor, "clips samples"]) -> Float[Tensor, "clips padded"]:
        """Normalise whole clips where the encoder takes waveforms; else end with a whole frame."""
        return self._extracted(audio) if self._layout.from_waveform else self.grid.fit(audio)

    def encode(self, audio: Float[Tensor, "clips samples"], layers: Sequence[str]) -> list[Frames]:
        """Return the frames of one part for each layer: no special tokens, the mean over the bands."""
        features = audio if self._layout.from_waveform else self._extracted(audio)
        output = self.network(features, output_hidden_states=bool(layers))
        states = [output.last_hidden_state]
        if layers:
            by_name = dict(zip(self.layer_embedding_sizes, output.hidden_states, strict=True))
            by_name[list(by_name)[-1]] = output.last_hidden_state
            states = [by_name[layer] for layer in layers]
        tokens = [state[:, self._layout.special :] for state in states]
        return [state.unflatten(1, (self._layout.bands, -1)).mean(dim=1) for state in tokens]

    def _extracted(self, audio: Float[Tensor, "clips samples"]) -> Float[Tensor, "clips ..."]:
        clips = list(audio.cpu().numpy())
        features = self._extractor(clips, sampling_rate=self.sample_rate, return_tensors="pt")
        return features[self.network.main_input_name].to(audio.device)


def load_model(model_file_path: str | Path = "", *, model: HubModel | None = None) -> HuggingFaceModel:
    """Load a model by name or folder; `model` is what a short module stands for, and a folder must hold.

    Raises EvaluationError: no name, nothing there, not that model, or weights that do not fill the encoder.
    """
    given = str(model_file_path)
    if model is None:
        if not given:
            raise EvaluationError("name a model: evaluation.baselines.huggingface@openai/whisper-base")
        model = HubModel(given)
        given = given if Path(given).expanduser().exists() else ""
    folder = model.find(given)
    with _quiet():
        config = _config(folder)
        check_shape(config, model, folder)
        extractor = _extractor(folder, config)
        layout = layout_of(config, extractor, str(folder))
        encoder = _encoder(folder)
    return HuggingFaceModel(encoder, extractor, layout)


def _config(folder: Path) -> Any:
    try:
        return package("transformers").AutoConfig.from_pretrained(folder, **HERE_ONLY)
    except (OSError, ValueError) as error:
        raise EvaluationError(
            f"{folder} is of no kind that transformers knows by itself (code of a model's own is never run); "
            f"write a HEAR module around it: {' '.join(str(error).split())[:200]}"
        ) from error


def check_shape(config: Any, model: HubModel, folder: Path) -> None:
    """Raise EvaluationError when a configuration is not that of the model."""
    for key, wanted in model.shape.items():
        if (found := getattr(config, key, None)) != wanted:
            raise EvaluationError(
                f"{folder} is not {model.name}: its {key} is {found!r} instead of {wanted!r}; load it as "
                f"evaluation.baselines.huggingface@{folder}"
            )


def _extractor(folder: Path, config: Any) -> Any:
    """Return the feature extractor; the library's default for a waveform encoder without (VoxPopuli)."""
    transformers = package("transformers")
    has_own = any((folder / file).is_file() for file in ("preprocessor_config.json", "processor_config.json"))
    if not has_own and hasattr(config, "conv_stride"):
        return transformers.Wav2Vec2FeatureExtractor()
    try:
        return transformers.AutoFeatureExtractor.from_pretrained(folder, **HERE_ONLY)
    except (OSError, ValueError) as error:
        text = " ".join(str(error).split())
        raise EvaluationError(
            f"{folder} has no feature extractor for audio that can be read: {text}"
        ) from error


def _encoder(folder: Path) -> torch.nn.Module:
    """Return the encoder in float32 with every parameter from the file."""
    try:
        model, report = package("transformers").AutoModel.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True, **HERE_ONLY
        )
    except Exception as error:  # whatever the library says of a broken file
        raise EvaluationError(f"{folder} cannot be loaded: {' '.join(str(error).split())}") from error
    missing = [key for key in sorted(report["missing_keys"]) if not key.endswith(UNUSED_WITHOUT_TRAINING)]
    if missing:
        raise EvaluationError(
            f"the weights in {folder} lack {len(missing)} parameters of the encoder, {missing[0]} for one; "
            "they are incomplete or of another model"
        )
    return model.get_encoder() if model.config.is_encoder_decoder else model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the library's progress bars and its remarks on heads that are not loaded."""
    logging = package("transformers").utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
