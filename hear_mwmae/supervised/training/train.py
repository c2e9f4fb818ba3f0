"""One supervised run: from labelled clips and an encoder to checkpoints, logs and scores.

As in pre-training, a run that is killed at any point and started again ends with the same parameters.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float
from tqdm import tqdm

from hear_mwmae.pretrain.model.transformer import Params
from hear_mwmae.pretrain.training.cost import peak_flops
from hear_mwmae.pretrain.training.interruption import StopRequest
from hear_mwmae.pretrain.training.logs import Throughput
from hear_mwmae.pretrain.training.loop import LoopOptions, Run, TrainingLoop, Watcher, guarded_run
from hear_mwmae.pretrain.training.step import (
    Metrics,
    TrainState,
    check_batch,
    data_mesh,
    gather_on,
    place_batch,
    state_shardings,
)
from hear_mwmae.supervised.data.clips import ClipReader, multi_hot
from hear_mwmae.supervised.data.find import write_missing
from hear_mwmae.supervised.data.in_memory import feature_batches
from hear_mwmae.supervised.data.labels import LabelledClip, LabelledData, write_classes
from hear_mwmae.supervised.data.loader import Batch, evaluation_batches, training_batches
from hear_mwmae.supervised.data.sampling import epoch_clips
from hear_mwmae.supervised.model.classifier import classify, init_classifier
from hear_mwmae.supervised.model.probe import frozen_features, init_probe, probe_heads, probe_logits
from hear_mwmae.supervised.settings import SupervisedConfig
from hear_mwmae.supervised.training.cost import flops_per_clip
from hear_mwmae.supervised.training.record import (
    SCORES_FILE,
    HeadScore,
    Origin,
    write_predictions,
    write_record,
)
from hear_mwmae.supervised.training.scores import Scores, primary_metric, score
from hear_mwmae.supervised.training.step import begin_state, make_step, of_any_seed, padded_rows

MISSING_FILE = "missing.txt"
EVALUATED_AT_ONCE = 64
HEAD_STREAM = 2

Clips = tuple[LabelledClip, ...]
Logits = Float[np.ndarray, "heads clips classes"]
Judge = Callable[[Params, Clips], Logits]
"""Returns the logits of clips of one part of the data; a fine-tuned model counts as one head."""
Known = dict[Path, Float[np.ndarray, " size"]]
"""What a frozen encoder gives of files."""


def train(
    config: SupervisedConfig,
    data: LabelledData,
    encoder: Params,
    origin: Origin,
    options: LoopOptions,
    known: Known | None = None,
) -> Mapping[str, Any]:
    """Run, or go on with, the training in `options.workdir` to its end; return what its `scores.json` holds.

    Args:
        config: the run's settings.
        data: what is trained on and tested.
        encoder: the parameters that training departs from, for the input length of `config.model`.
        origin: how tables name the run.
        options: what watches the run.
        known: of a probe: what the encoder gave in an earlier run; what this run adds is added.

    Raises:
        UserError: unusable data or settings, a checkpoint of another run, a loss that is not finite, or too
            little memory.
        InterruptedRun: Ctrl-C, SIGTERM or SIGHUP; the state was saved.
    """
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(guarded_run(config, options))
        mesh = data_mesh()
        check_batch(config, jax.device_count(), jax.process_count())
        options.workdir.mkdir(parents=True, exist_ok=True)
        if config.mode == "finetune":
            run, judge = prepare_finetuning(config, data, encoder, options, mesh)
        else:
            features = known if known is not None else {}
            run, judge = prepare_probe(config, data, encoder, options, mesh, features, stop)
        loop = TrainingLoop(run, options, stop, stack)
        if jax.process_index() == 0:  # Not before: the directory may have been another run's.
            (options.workdir / SCORES_FILE).unlink(missing_ok=True)
            write_missing(data, options.workdir / MISSING_FILE)
            write_classes(data, options.workdir)
        scorer = Scorer(config, data, judge)
        watcher = Watcher(options.validate_every, lambda state, _: scorer.numbers(state.params))
        state = loop.train([watcher])
        return scorer.write(state.params, origin, options)


def prepare_finetuning(
    config: SupervisedConfig, data: LabelledData, encoder: Params, options: LoopOptions, mesh: Mesh
) -> tuple[Run, Judge]:
    """Return the parts of a fine-tuning run, and what judges clips in it."""
    head_key = jax.random.fold_in(jax.random.key(config.seed), HEAD_STREAM)
    classes = len(data.classes)
    params = init_classifier(encoder, config.model, classes, head_key)
    batches = training_batches(
        data,
        config,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        workers=options.workers,
    )
    run = _run(config, data, params, batches, options, mesh)
    logits, reader = _classifier(of_any_seed(config), mesh), ClipReader(config.model.front_end)

    def judge(params: Params, clips: Clips) -> Logits:
        return _in_batches(partial(logits, params), clips, classes, config, mesh, reader)[None]

    return run, judge


@functools.cache
def _classifier(config: SupervisedConfig, mesh: Mesh) -> Callable[[Params, Array], Array]:
    @partial(jax.jit, out_shardings=NamedSharding(mesh, PartitionSpec()))
    def logits(params: Params, features: Array) -> Array:
        dtype = jnp.dtype(config.precision)
        return classify(params, features, config, dtype=dtype, gather=gather_on(mesh))[0]

    return logits


def prepare_probe(
    config: SupervisedConfig,
    data: LabelledData,
    encoder: Params,
    options: LoopOptions,
    mesh: Mesh,
    known: Known,
    stop: StopRequest,
) -> tuple[Run, Judge]:
    """Return the parts of a probing run, and what judges clips in it; what is not known is encoded here."""
    encoder = jax.device_put(encoder, NamedSharding(mesh, PartitionSpec()))
    read = partial(frozen_encoder(of_any_seed(config), mesh), encoder)
    reader = ClipReader(config.model.front_end, most_bytes=0)
    new = tuple(clip for clip in (*data.training, *data.validation, *data.test) if clip.path not in known)
    if new:
        with tqdm(total=len(new), desc="encoding", unit="clip", disable=None) as bar:

            def watched(rows: Array) -> Array:
                stop.end_if_asked(
                    "stopped while the clips were encoded; run the same command to start again."
                )
                bar.update(min(bar.total - bar.n, EVALUATED_AT_ONCE))
                return read(rows)

            found = _in_batches(watched, new, len(data.classes), config, mesh, reader)
        known.update(zip((clip.path for clip in new), found, strict=True))
    features = {
        clips: np.stack([known[clip.path] for clip in clips])
        for clips in (data.training, data.validation, data.test)
        if clips
    }
    of_training = features[data.training]
    params = init_probe(config, of_training.shape[1], len(data.classes))
    batches = feature_batches(
        data,
        config,
        of_training,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    run = _run(config, data, params, batches, options, mesh)
    return run, lambda params, clips: np.asarray(_probe_logits(params, features[clips]))


@functools.cache
def frozen_encoder(config: SupervisedConfig, mesh: Mesh) -> Callable[[Params, Array], Array]:
    """Return `frozen_features` of an encoder and rows that the devices share, compiled; whole everywhere."""

    @partial(jax.jit, out_shardings=NamedSharding(mesh, PartitionSpec()))
    def read(encoder: Params, features: Array) -> Array:
        return frozen_features(encoder, features, config)

    return read


_probe_logits = jax.jit(partial(probe_logits, training=False))


def _run(
    config: SupervisedConfig,
    data: LabelledData,
    params: Params,
    batches: Any,
    options: LoopOptions,
    mesh: Mesh,
) -> Run:
    steps_per_epoch = config.steps_per_epoch(epoch_clips(data, config))
    shapes = jax.eval_shape(lambda: begin_state(config, params, steps_per_epoch))
    shardings = state_shardings(shapes, mesh, fsdp=options.fsdp)
    step = make_step(config, steps_per_epoch, mesh, shardings, remat=options.remat, kernel=options.kernel)
    peak = peak_flops(jax.devices()[0])

    def update(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        return step(state, place_batch(batch.features, mesh), place_batch(batch.targets, mesh))

    return Run(
        config,
        steps_per_epoch,
        data.digest,
        mesh,
        shardings,
        batches,
        begin=lambda: _placed(begin_state(config, params, steps_per_epoch), shardings),
        update=update,
        throughput=Throughput(
            config,
            flops_per_crop=flops_per_clip(config, len(data.classes)),
            peak_flops=peak and peak * jax.device_count(),
        ),
    )


def _placed(state: TrainState, shardings: TrainState) -> TrainState:
    return jax.jit(_unchanged, out_shardings=shardings)(state)


def _unchanged(state: TrainState) -> TrainState:
    return state


def _in_batches(
    function: Callable[[Array], Array],
    clips: Clips,
    classes: int,
    config: SupervisedConfig,
    mesh: Mesh,
    reader: ClipReader,
) -> Float[np.ndarray, "clips numbers"]:
    """Return what a compiled function makes of clips, a batch at a time; the same on every process."""
    size = -(-EVALUATED_AT_ONCE // mesh.size) * mesh.size
    found = []
    for batch in evaluation_batches(clips, classes, config, size, reader=reader):
        rows = padded_rows(batch.features, size)
        found.append(np.asarray(function(place_batch(rows, mesh)))[: len(batch.features)])
    return np.concatenate(found)


class Scorer:
    """Scores what a run makes of the clips that it does not train on."""

    def __init__(self, config: SupervisedConfig, data: LabelledData, judge: Judge) -> None:
        self._config, self._data, self._judge = config, data, judge
        self._metric = primary_metric(multilabel=data.multilabel)

    def numbers(self, params: Params) -> dict[str, float]:
        """Return the scores of both parts by names such as `test_accuracy`, those that are defined.

        Of a probe's heads, the one that is best on the validation part, or without one on the test part.
        """
        parts = {"test": self._scores(params, self._data.test)}
        if self._data.validation:
            parts["validation"] = self._scores(params, self._data.validation)
        head = self._best(parts.get("validation", parts["test"]))
        return {
            f"{part}_{name}": value
            for part, scores in parts.items()
            for name, value in dataclasses.asdict(scores[head]).items()
            if value is not None
        }

    def write(self, params: Params, origin: Origin, options: LoopOptions) -> Mapping[str, Any]:
        """Write `scores.json` and the logits of the test clips; return what the former holds."""
        config, data = self._config, self._data
        logits = self._judge(params, data.test)
        test = self._scores(params, data.test)
        validation = self._scores(params, data.validation) if data.validation else None
        head = self._best(validation or test)
        heads = []
        if config.mode == "probe":
            heads = [
                HeadScore(
                    one,
                    validation[index].of(self._metric) if validation else None,
                    test[index].of(self._metric),
                )
                for index, one in enumerate(probe_heads(config))
            ]
        if jax.process_index() == 0:
            write_predictions(options.workdir, data.test, logits[head])
        return write_record(options.workdir, config, data, origin, test[head], heads)

    def _best(self, of_heads: list[Scores]) -> int:
        return int(np.argmax([scores.of(self._metric) for scores in of_heads]))

    def _scores(self, params: Params, clips: Clips) -> list[Scores]:
        targets = multi_hot(clips, len(self._data.classes))
        return [
            score(logits, targets, multilabel=self._data.multilabel) for logits in self._judge(params, clips)
        ]
