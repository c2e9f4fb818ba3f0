"""A fine-tuned run as a model file: its encoder, with the normalisation of the mean, and the head."""

import dataclasses
from collections.abc import Mapping

from hear_mwmae.config import ModelConfig
from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.model.transformer import Params
from hear_mwmae.supervised.settings import SupervisedConfig


def finetuned_model(params: Params, config: SupervisedConfig) -> tuple[ModelConfig, Params]:
    """Return the model and the parameters that a file of a fine-tuned run holds.

    The classifier's normalisation takes the place of the encoder's last one, which fine-tuning does without,
    and is of means, not of tokens (`norm_after_pooling`). Tensors `head.weight` (classes, width) and
    `head.bias` lie beside the encoder's; embedding does not read them.

    Raises:
        UserError: the run is a probe, which leaves the encoder as it is.
    """
    if config.mode == "probe":
        raise UserError("A probe leaves the encoder as it is: there is nothing to export but its start.")
    encoder: Mapping = params["encoder"] | {"norm": params["norm"]}
    model = dataclasses.replace(config.model, norm_after_pooling=True)
    return model, {"encoder": dict(encoder), "head": params["head"]}
