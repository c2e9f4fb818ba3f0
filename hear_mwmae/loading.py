"""From a name or a path to a model that is ready to embed, and from such a model to a file."""

import warnings
from pathlib import Path

import torch

from hear_mwmae import processor
from hear_mwmae.config import WEIGHTS_VARIABLE, ModelConfig, named_model
from hear_mwmae.convert import convert_checkpoint
from hear_mwmae.convert_audio_mae import convert_audio_mae
from hear_mwmae.embedding import EmbeddingModel
from hear_mwmae.encoder import Encoder
from hear_mwmae.errors import UserError
from hear_mwmae.files import name_as_text
from hear_mwmae.flax_checkpoint import checkpoint_file
from hear_mwmae.model_file import ENCODER_PREFIX, check_shapes
from hear_mwmae.named_weights import find_weights
from hear_mwmae.names import printable
from hear_mwmae.torch_file import is_torch_file
from hear_mwmae.weights import Weights, build_encoder, read_model_file, write_model_file

RANDOM_SEED = 0
# What makes it another model, also the windows that it was trained with; the decoder's size does not.
IDENTITY = (
    "input_size", "patch_size", "front_end", "width", "depth", "heads", "mlp_ratio", "class_token",
    "encoder_windows", "decoder_windows", "conventions",
)  # fmt: skip


def load_model(
    model_file_path: str = "",
    *,
    model: str | None = None,
    heads: int | None = None,
    precision: str = "float32",
    timestamps: str | None = None,
) -> EmbeddingModel:
    """Load a model from a file or directory, or a named model from where its weights are found.

    Args:
        model_file_path: a model file, a directory that holds one, a checkpoint directory of the released
            MW-MAE code, or a file (*.pth) of Audio-MAE. "" looks in $HEAR_MWMAE_WEIGHTS, the package and the
            user's cache; if nothing is there, the named model has random weights of a fixed seed, a warning
            says so, and `pretrained` is False.
        model: a named model, which the file must fit; None takes the shape that the file states.
        heads: the encoder's head count, which a checkpoint of released code does not state; an Audio-MAE has
            one for every 64 channels if nobody says.
        precision: "float32", or "bf16" for the encoder's weights and activations; where the processor
            emulates that, and there is no GPU, a `SlowPrecisionWarning` says so.
        timestamps: "hear" spreads the columns evenly over the clip, "centre" gives the true middle of each;
            None is "centre" for Audio-MAE and "hear" for the others.

    Raises:
        UserError: a path that does not exist or does not fit, or neither a path nor a name.

    Example:
        >>> model = load_model(model="mw_mae_t")
        >>> model.sample_rate, model.scene_embedding_size, model.pretrained
        (16000, 960, True)
    """
    config = named_model(model).config if model else None
    if precision == "bf16" and not torch.cuda.is_available() and processor.multiplies_bf16() is False:
        warnings.warn(processor.describe_bf16(), processor.SlowPrecisionWarning, stacklevel=2)
    if model_file_path:
        path: Path | None = Path(model_file_path)
    elif model:
        path = find_weights(model)
    else:
        raise UserError(
            "No model was given: name its file or checkpoint directory (MODULE@PATH in an evaluation)."
        )
    if path is None:
        assert model is not None  # Only a name may lead to no path.
        assert config is not None
        encoder = _random_encoder(model, config)
    else:
        encoder = build_encoder(read_weights(path, model=model, heads=heads), str(path))
    return EmbeddingModel(
        encoder,
        weights_path="" if path is None else str(path),
        precision=precision,
        timestamps=timestamps,
    )


def save_model(model: EmbeddingModel, path: str | Path, *, note: str = "") -> None:
    """Write a model file of an encoder, such as one that was fine-tuned in torch, for `load_model`.

    The file holds the encoder in float32, neither a decoder nor what was trained on top. Its provenance says
    the name of the file that the model was loaded from, and the note.

    Args:
        path: the file, *.safetensors; one that is there is replaced.
        note: what was done to the model, for `hear-mwmae show`.

    Raises:
        UserError: another kind of model, an encoder whose parts were exchanged, parameters that are not
            finite, or a file that cannot be written.

    Example:
        >>> model = load_model(model="mw_mae_t").requires_grad_(True)
        >>> save_model(model, folder / "tuned.safetensors", note="fine-tuned on folds 2 to 5 of ESC-10")
        >>> load_model(str(folder / "tuned.safetensors")).pretrained
        True
    """
    if not isinstance(model, EmbeddingModel):
        raise UserError(f"A {type(model).__name__} has no model file: give the EmbeddingModel in it.")
    path = Path(path)
    if path.suffix != ".safetensors":
        raise UserError(f"{printable(path)}: the name of a model file must end in .safetensors.")
    state = model.encoder.state_dict()
    tensors = {ENCODER_PREFIX + name: tensor.detach().float().cpu() for name, tensor in state.items()}
    check_shapes(
        "The model to save", {name: tuple(tensor.shape) for name, tensor in tensors.items()}, model.config
    )
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise UserError(
                f"The model to save: {name} holds NaN or infinite values; save an earlier state of it, and "
                "train on with a smaller learning rate."
            )
    origin = name_as_text(Path(model.weights_path).resolve().name) if model.pretrained else "random weights"
    provenance = {"loaded_from": origin} | ({"note": note} if note else {})
    write_model_file(path, Weights(model.config, tensors, provenance))


def read_weights(path: Path, *, model: str | None = None, heads: int | None = None) -> Weights:
    """Read the encoder's weights from a model file, a directory that holds one, or a released checkpoint.

    Raises:
        UserError: nothing there, more than one thing there, or a shape other than that of `model`.
    """
    if not path.exists():
        raise UserError(
            f"{printable(path)}: there is no such file or directory; correct the path of the weights."
        )
    config = named_model(model).config if model else None
    file = _model_file(path, model) if path.is_dir() else path
    if is_torch_file(path):
        weights = convert_audio_mae(path, heads=heads)
    elif file is None or file.suffix != ".safetensors":
        return convert_checkpoint(path, config=config, heads=heads)
    else:
        weights = read_model_file(file)
    if heads not in (None, weights.config.heads):
        raise UserError(
            f"{printable(path)}: says that it has {weights.config.heads} heads, not {heads}; leave heads out."
        )
    if model:
        check_identity(weights.config, model, file or path)
    return weights


def check_identity(config: ModelConfig, model: str, source: Path) -> None:
    """Refuse a model that is not the one of this name; `source` is where it came from.

    Raises:
        UserError: its shape is another.
    """
    named = named_model(model).config
    for field in IDENTITY:
        found, needed = getattr(config, field), getattr(named, field)
        if found != needed:
            raise UserError(
                f"{printable(source)}: holds a model with {field} {found} where {model} has {needed}; load "
                "it with the module of the model that it is, with hear_mwmae.from_checkpoint, or, converted "
                f"from a checkpoint that does not tell, convert it again with --model {model}."
            )


def _model_file(directory: Path, model: str | None) -> Path | None:
    """The model file in a directory: the one of that name or the only one; None for a released checkpoint."""
    files = sorted(file for file in directory.glob("*.safetensors") if not file.name.startswith("."))
    named = [file for file in files if file.stem == model] or files
    if len(named) == 1:
        return named[0]
    if not files and checkpoint_file(directory) is not None:
        return None
    raise UserError(
        f"{printable(directory)}: holds {len(files)} model files and no way to choose; name one "
        "*.safetensors file, or a directory with checkpoint_<step>."
    )


def _random_encoder(model: str, config: ModelConfig) -> Encoder:
    warnings.warn(
        f"No weights found for {model}: it has RANDOM weights and its embeddings serve only as a test. "
        f"Give a path, or put {model}.safetensors into the folder that ${WEIGHTS_VARIABLE} names.",
        stacklevel=3,
    )
    with torch.device("meta"):
        encoder = Encoder(config)
    encoder.to_empty(device="cpu").initialise(torch.Generator().manual_seed(RANDOM_SEED))
    return encoder
