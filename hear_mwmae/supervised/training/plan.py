"""What supervised runs will take, before they are started."""

import time

import jax
import numpy as np
from jaxtyping import Array, Float

from hear_mwmae.pretrain.model.transformer import Params
from hear_mwmae.pretrain.training.loop import LoopOptions
from hear_mwmae.pretrain.training.memory import memory_advice
from hear_mwmae.pretrain.training.plan import duration_text, print_line
from hear_mwmae.pretrain.training.step import check_batch, data_mesh
from hear_mwmae.supervised.data.labels import LabelledData
from hear_mwmae.supervised.data.loader import Batch
from hear_mwmae.supervised.settings import SupervisedConfig
from hear_mwmae.supervised.training.cost import flops_per_clip
from hear_mwmae.supervised.training.step import of_any_seed
from hear_mwmae.supervised.training.train import EVALUATED_AT_ONCE, frozen_encoder, prepare_finetuning

TIMED = 3


def print_plan(
    config: SupervisedConfig, data: LabelledData, encoder: Params, runs: int, options: LoopOptions
) -> None:
    """Print size, steps and, from a few measured ones on random input, the duration of so many like runs.

    Raises:
        UserError: too few clips for a batch, a batch that the devices cannot share, or too little memory.
    """
    check_batch(config, jax.device_count(), jax.process_count())
    count = sum(leaf.size for leaf in jax.tree.leaves(encoder))
    print_line("model", f"{count / 1e6:.3g} M parameters in the encoder; {config.frames} frames a clip")
    classes, missing = len(data.classes), len(data.missing)
    print_line("data", f"{len(data.training)} training clips, {classes} classes, {missing} missing")
    with memory_advice(config, remat=options.remat, fsdp=options.fsdp):
        if config.mode == "probe":
            _print_probe(config, data, encoder)
        else:
            _print_finetuning(config, data, encoder, runs, options)


def _print_probe(config: SupervisedConfig, data: LabelledData, encoder: Params) -> None:
    clips = sum(map(len, (data.training, data.validation, data.test)))
    rows = _random_rows(config, EVALUATED_AT_ONCE)
    read = frozen_encoder(of_any_seed(config), data_mesh())
    jax.block_until_ready(read(encoder, rows))
    start = time.perf_counter()
    for _ in range(TIMED):
        jax.block_until_ready(read(encoder, rows))
    seconds = (time.perf_counter() - start) / TIMED * clips / EVALUATED_AT_ONCE
    print_line(
        "duration", f"{duration_text(seconds)} to encode {clips} clips, once for all runs of a command"
    )


def _print_finetuning(
    config: SupervisedConfig, data: LabelledData, encoder: Params, runs: int, options: LoopOptions
) -> None:
    classes = len(data.classes)
    run, _ = prepare_finetuning(config, data, encoder, options, data_mesh())
    steps = config.total_steps(run.steps_per_epoch)
    per_clip = flops_per_clip(config, classes)
    print_line("steps", f"{steps:,} of {config.batch_size} clips, {run.steps_per_epoch:,} an epoch")
    print_line("operations", f"{steps * config.batch_size * per_clip:.2e}, {per_clip:.2e} per clip")
    share = config.batch_size // jax.process_count()
    batch = Batch(np.asarray(_random_rows(config, share)), np.zeros((share, classes), np.float32))
    state, metrics = run.update(run.begin(), batch)
    jax.block_until_ready(metrics)
    start = time.perf_counter()
    for _ in range(TIMED):
        state, metrics = run.update(state, batch)
    jax.block_until_ready(metrics)
    seconds = (time.perf_counter() - start) / TIMED
    print_line("speed", f"{config.batch_size / seconds:.4g} clips/s, {seconds:.3g} s a step")
    duration = duration_text(seconds * steps)
    print_line("duration", f"{duration} in each of {runs} runs, if reading the data keeps up")


def _random_rows(config: SupervisedConfig, rows: int) -> Float[Array, "rows frames bands"]:
    return jax.random.normal(jax.random.key(0), (rows, config.frames, config.model.input_size[1]))
