"""A run as a model file, and back: what `hear-mwmae export` writes.

The file serves `hear_mwmae.from_checkpoint`, the named models and `hear-mwmae embed --weights`. Its metadata
tell where it is from: settings, step, content hash of the data, loss curve, and of every start of the run the
time, the versions and revision of the program, and the hardware.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from hear_mwmae.config import ModelConfig
from hear_mwmae.errors import UserError, first_line
from hear_mwmae.model_file import DECODER_PREFIX, read_model_header, save_model_file, unchanged
from hear_mwmae.names import printable
from hear_mwmae.pretrain.model.initialise import init_params
from hear_mwmae.pretrain.model.transformer import Params


def export_tensors(params: Params) -> dict[str, np.ndarray]:
    """Name and lay out parameters as a model file has them: blocks one by one, weights as (out, in).

    Args:
        params: of `model.init_params`, as arrays of any kind.
    """
    tensors = {}
    for path, array in _leaves(params):
        part, *rest = path
        blocks = array if rest[0] == "blocks" else [array]
        for index, value in enumerate(blocks):
            names = [part, "blocks", str(index), *rest[1:]] if rest[0] == "blocks" else path
            # The weight of a linear layer is the one with two axes; that of a normalisation has one.
            layout = value.T if names[-1] == "weight" else value
            tensors[".".join(names)] = np.ascontiguousarray(layout, dtype=np.float32)
    return tensors


def _leaves(tree: Params, path: tuple[str, ...] = ()) -> Iterator[tuple[list[str], np.ndarray]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, name))
        else:
            yield [*path, name], np.asarray(value)


def import_params(path: Path) -> tuple[ModelConfig, Params]:
    """Read what `export_model` wrote with its decoder: the model and its parameters, as float32 numpy arrays.

    They serve `model.forward`, which puts in place of masked patches what the model makes of them.

    Raises:
        UserError: no file of ours, or one without a decoder.
    """
    return _import(path, ("encoder", "decoder"))


def import_encoder(path: Path) -> tuple[ModelConfig, Params]:
    """Read the model and the parameters of its encoder, as float32 numpy arrays.

    Raises:
        UserError: no file of ours, or one without an encoder.
    """
    config, params = _import(path, ("encoder",))
    return config, params["encoder"]


def _import(path: Path, parts: Sequence[str]) -> tuple[ModelConfig, Params]:
    try:
        with unchanged(path):
            header = read_model_header(path)
            with safe_open(path, framework="np") as file:
                wanted = [name for name in header.shapes if name.partition(".")[0] in parts]
                tensors = {name: file.get_tensor(name).astype(np.float32) for name in wanted}
        for name, tensor in tensors.items():
            if not np.isfinite(tensor).all():
                raise UserError(f"{printable(path)}: {name} holds NaN or infinite values; restore the file.")
        shapes = jax.eval_shape(lambda: init_params(header.config, jax.random.key(0)))
        shapes = {part: shapes[part] for part in parts}
        return header.config, jax.tree_util.tree_map_with_path(partial(_imported, tensors), shapes)
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise UserError(
            f"{printable(path)}: no model file with an {' and a '.join(parts)} ({first_line(error)})."
        ) from None


def _imported(
    tensors: Mapping[str, np.ndarray], path: tuple[jax.tree_util.DictKey, ...], leaf: jax.ShapeDtypeStruct
) -> np.ndarray:
    part, *rest = (str(key.key) for key in path)

    def layout(*names: str) -> np.ndarray:
        array = tensors[".".join([part, *names])]
        return array.T if names[-1] == "weight" else array

    if rest[0] != "blocks":
        return layout(*rest)
    return np.stack([layout("blocks", str(index), *rest[1:]) for index in range(leaf.shape[0])])


def export_model(
    path: Path,
    params: Params,
    config: ModelConfig,
    *,
    provenance: dict[str, object],
    decoder: bool = True,
    dtype: str = "float32",
) -> None:
    """Write a model file.

    Args:
        decoder: keep the decoder too, for reconstruction and analysis; embedding does not need it.
        dtype: of the stored values, "float32" or "float16"; the embedding package computes in float32.

    Raises:
        UserError: a value is not finite in `dtype`, or the file cannot be written.
    """
    with np.errstate(over="ignore"):
        tensors = {
            name: array.astype(dtype)
            for name, array in export_tensors(params).items()
            if decoder or not name.startswith(DECODER_PREFIX)
        }
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise UserError(
                f"{printable(path)}: {name} is not finite in {dtype}; export another step, or as float32."
            )
    save_model_file(path, config, provenance, partial(save_file, tensors))
