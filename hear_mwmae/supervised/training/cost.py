"""What supervised training computes."""

from hear_mwmae.pretrain.training.cost import encoder_products
from hear_mwmae.supervised.model.probe import probe_heads
from hear_mwmae.supervised.settings import SupervisedConfig


def flops_per_clip(config: SupervisedConfig, classes: int) -> float:
    """Return the operations of matrix products in one update, per clip; a multiply-add counts two.

    A probe's are those of its heads alone: the encoder is done with before the first update.
    """
    if config.mode == "probe":
        size = config.model.embedding_size if config.pooling == "hear" else config.model.width
        return 3 * 2.0 * len(probe_heads(config)) * size * classes
    columns, bands = config.visible_grid
    pieces = config.frames // config.model.input_size[0]
    products = pieces * encoder_products(config.model, columns * bands)
    return 3 * 2.0 * (products + config.model.width * classes)
