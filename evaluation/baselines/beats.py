"""BEATs (ICML 2023), third iteration, as a HEAR module.

Reads the released `BEATs_iter3.pt`: its configuration under "cfg", its weights under "model"; fine-tuned
files too, whose classifier is left out. 16 kHz scaled by 2^15, 128 Kaldi bands (Povey window), 16x16 patches,
time-major; frames after the last whole patch are not heard, as in the released code. One embedding per
160 ms, the mean over its 8 bands, of the last block: a scene's is the mean over all tokens.

Facts from the authors' repository (microsoft/unilm, folder beats): filter bank, scale, mean and deviation in
BEATs.py, whose fine-tuned models average over all tokens too; network, gate, buckets and names in
backbone.py. The configuration comes with the file. Table 6 of the MW-MAE paper counts 90 M parameters.

Not tested on the real weights, which could not be downloaded; tested on small random ones of the same layout,
and against a slow computation by the formulas. How the MW-MAE paper pooled the tokens is not published.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from evaluation.baselines.beats_network import FIELDS, BeatsConfig, BeatsNetwork
from evaluation.baselines.patch_model import PatchModel
from evaluation.baselines.tensors import load_strictly, read_torch_file, require, tensors_of, without
from evaluation.baselines.weights import ReleasedFile
from evaluation.baselines.wrap import Frames, get_scene_embeddings, get_timestamp_embeddings
from evaluation.errors import EvaluationError
from hear_mwmae.kaldi_fbank import BANDS

__all__ = ["WEIGHTS", "Beats", "get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

WEIGHTS = ReleasedFile(
    "BEATs_iter3.pt", "download BEATs_iter3 from the links in github.com/microsoft/unilm/tree/master/beats"
)
WAVEFORM_SCALE = 2.0**15
FBANK_MEAN, FBANK_STD = 15.41663, 6.55582
UNUSED = ("predictor.",)
TABLE = "encoder.layers.{}.self_attn.relative_attention_bias.weight"
TAKEN_FOR_GRANTED = {
    "relative_position_embedding": True,
    "gru_rel_pos": True,
    "layer_norm_first": False,
    "activation_fn": "gelu",
}
"""Settings that every released BEATs has and that the network knows no other value of."""


class Beats(PatchModel):
    """The network on its filter bank; layers block1, block2, ..."""

    network: BeatsNetwork

    def __init__(self, network: BeatsNetwork) -> None:
        config = network.config
        super().__init__(
            network,
            layer_names=[f"block{index + 1}" for index in range(config.encoder_layers)],
            width=config.encoder_embed_dim,
            window="povey",
            mean=FBANK_MEAN,
            std=FBANK_STD,
            frames_per_column=config.input_patch_size,
        )

    def prepare(self, audio: Float[Tensor, "clips samples"]) -> Float[Tensor, "clips samples"]:
        """Return the samples in the range of 16-bit integers."""
        return audio * WAVEFORM_SCALE

    def encode(self, audio: Float[Tensor, "clips samples"], layers: Sequence[str]) -> list[Frames]:
        """Return the columns of one part for each of the layers."""
        layers = layers or list(self.layer_embedding_sizes)[-1:]
        tokens = self.network(self.normalise(self.fbank(audio)), layers)
        bands = BANDS // self.network.config.input_patch_size
        return [tokens[name].unflatten(1, (-1, bands)).mean(dim=2) for name in layers]


def load_model(model_file_path: str = "") -> Beats:
    """Return the model; without a path, `BEATs_iter3.pt` in $HEAR_MWMAE_WEIGHTS or the cache.

    Raises EvaluationError: no file, or one that is not such a model.
    """
    path = WEIGHTS.find(model_file_path)
    content = read_torch_file(path)
    config = _config(content.get("cfg"), path)
    tensors = _with_one_table(without(tensors_of(content, path, key="model"), UNUSED), config, path)
    with torch.device("meta"):
        network = BeatsNetwork(config)
    load_strictly(network, tensors, path)
    return Beats(network)


def _config(released: Any, path: Path) -> BeatsConfig:
    if not isinstance(released, dict):
        raise EvaluationError(
            f"{path} is no released BEATs: it has no configuration 'cfg'; name another file"
        )
    for name, needed in TAKEN_FOR_GRANTED.items():
        if released.get(name, needed) != needed:
            raise EvaluationError(
                f"{path} is no released BEATs: its configuration has {name} = {released[name]!r}, "
                f"not {needed!r}; name another file"
            )
    return BeatsConfig(**{name: value for name, value in released.items() if name in FIELDS})


def _with_one_table(tensors: dict[str, Tensor], config: BeatsConfig, path: Path) -> dict[str, Tensor]:
    """All blocks share the biases of the first; the file repeats them under the name of every block."""
    names = [TABLE.format(index) for index in range(config.encoder_layers)]
    require(tensors, names[:1], path)
    table = tensors[names[0]]
    for name in names:
        if not torch.equal(tensors.pop(name, table), table):
            raise EvaluationError(
                f"{path} is no released BEATs: '{name}' is not '{names[0]}'; name another file"
            )
    return {**tensors, "encoder.relative_attention_bias.weight": table}
