"""The runs of one command: every fold and seed that it names, one after the other."""

import argparse
import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import soundfile

from hear_mwmae.config import NAMED_MODELS, ModelConfig
from hear_mwmae.errors import UserError
from hear_mwmae.json_files import read_json
from hear_mwmae.model_file import read_model_header
from hear_mwmae.named_weights import find_weights
from hear_mwmae.names import printable
from hear_mwmae.pretrain.data.manifest import file_sha256
from hear_mwmae.pretrain.model.transformer import Params
from hear_mwmae.pretrain.settings import CONFIG_FILE
from hear_mwmae.pretrain.training.checkpoints import read_config
from hear_mwmae.pretrain.training.loop import LoopOptions
from hear_mwmae.supervised.configs import (
    FRAMES_PER_SECOND,
    MODELS,
    RECIPES,
    at_length,
    find_run,
    for_model,
    with_specaug_in_proportion,
)
from hear_mwmae.supervised.data.find import folds_of, read_labelled_data
from hear_mwmae.supervised.data.labels import LabelledClip, LabelledData
from hear_mwmae.supervised.data.sampling import epoch_clips
from hear_mwmae.supervised.settings import SupervisedConfig
from hear_mwmae.supervised.training.initial import (
    check_encoder,
    describe_codes,
    random_encoder,
    read_encoder,
)
from hear_mwmae.supervised.training.plan import print_plan
from hear_mwmae.supervised.training.record import SCORES_FILE, Origin
from hear_mwmae.supervised.training.train import Known, train

# Without a published recipe a clip is read up to this length.
LONGEST_SECONDS = 10.0
CLIPS_MEASURED = 500


@dataclass(frozen=True)
class Start:
    """What all runs of a command depart from."""

    model: ModelConfig
    """As in its file: the length that it was trained on."""
    origin: Origin
    weights: Path | None
    """None for weights drawn anew."""


@dataclass(frozen=True)
class SupervisedRun:
    """One run of a command."""

    config: SupervisedConfig
    data: LabelledData
    start: Start
    workdir: Path

    def encoder(self) -> Params:
        """Return the parameters that training departs from."""
        if self.start.weights is None:
            return random_encoder(self.config.model, self.config.seed)
        return read_encoder(self.start.weights, self.config.model)

    @property
    def title(self) -> str:
        """What tells it from the others."""
        return " ".join(filter(None, [self.data.fold, f"seed {self.config.seed}"]))


def start_of(options: argparse.Namespace) -> Start:
    """Find the model that a command line names.

    Raises:
        UserError: no model, no such file or name, or a file of another model than the published run's.
    """
    _, _, of_config = options.config.partition(":")
    if options.tiny and not options.config:
        raise UserError("--tiny makes a small variant of a published run: give it with --config.")
    if options.tiny and not options.random_init:
        raise UserError("--tiny makes a model of another shape, which no file has: add --random-init.")
    if not options.init and not (options.config and options.random_init):
        raise UserError(
            "Say what to start from: --init with a model file or a name that `hear-mwmae models` lists, and "
            "--random-init to take only its shape."
        )
    path = Path(options.init) if options.init else None
    if options.init in NAMED_MODELS:
        path = find_weights(options.init)
        if path is None and not options.random_init:
            raise UserError(
                f"There are no weights of {options.init} on this machine; give a file, or --random-init."
            )
    model = MODELS.get(of_config)
    if options.init:
        found = read_model_header(path).config if path else NAMED_MODELS[options.init].config
        if model:
            check_encoder(path or options.init, found, model)
        model = found
    label = options.name or (Path(options.init).stem if options.init else of_config)
    origin = Origin(label, pretrained=not options.random_init, config=options.config)
    assert model is not None  # find_run refuses a name that MODELS does not have before this is used
    return Start(model, origin, None if options.random_init else path)


def series_of(options: argparse.Namespace, changes: Mapping[str, Any]) -> list[SupervisedRun]:
    """Return the runs that a command line names.

    Raises:
        UserError: unusable data, no such fold, model or run, or settings that do not fit each other.
    """
    if options.config:
        find_run(options.config, options.mode)  # refuses unknown names before any data are read
    start = start_of(options)
    places = {"sound": options.sound, "classes": options.classes, "leave_out": options.leave_out}
    folds = folds_of(options.data, subset=options.subset)
    chosen = folds if options.fold == "all" else (options.fold,) if options.fold else folds[:1]
    if options.fold and not folds:
        raise UserError(f"{printable(options.data)}: has no folds; leave out --fold.")
    if options.seeds < 1 or (options.seed or 0) < 0 or (options.frames is not None and options.frames < 1):
        raise UserError("--seeds and --frames must be at least 1, and --seed at least 0.")
    if options.seed is not None and options.seeds > 1:
        raise UserError("--seed is one seed and --seeds several: give one of them.")
    seeds = range(options.seeds) if options.seed is None else (options.seed,)
    several = len(chosen) > 1 or len(seeds) > 1
    for fold in chosen if several else ():
        if fold == ".." or Path(fold).name != fold:
            raise UserError(
                f"{printable(options.data)}: the fold {printable(fold)!r} cannot be the name of a folder; "
                "rename it."
            )
    sha256 = file_sha256(start.weights) if start.weights else ""
    runs = []
    for fold in chosen or ("",):
        data = read_labelled_data(options.data, fold=fold, subset=options.subset, **places)
        config = _config(options, changes, start, data)
        # Refuses too few clips, or too many updates, before anything is begun.
        config.total_steps(config.steps_per_epoch(epoch_clips(data, config)))
        for seed in seeds:
            parts = [part for part in (fold, f"seed{seed}") if part] if several else []
            workdir = Path(options.workdir or ".").joinpath(*parts)
            whole = dataclasses.replace(config, seed=seed, init_sha256=sha256)
            runs.append(SupervisedRun(whole, data, start, workdir))
    return runs


def _config(
    options: argparse.Namespace, changes: Mapping[str, Any], start: Start, data: LabelledData
) -> SupervisedConfig:
    pictures = start.model.front_end == "rgb_224"
    if options.config:
        published = find_run(options.config, options.mode, tiny=options.tiny)
        name = options.config.partition(":")[0]
        config = for_model(start.model, RECIPES[name], options.mode)
        fields = {field.name: getattr(published, field.name) for field in dataclasses.fields(config)}
        model = published.model if options.tiny else config.model
        config = dataclasses.replace(config, **fields | {"model": model})
        frames = published.frames
    else:
        frames = 0 if pictures else round(FRAMES_PER_SECOND * longest_seconds(data.training))
        config = for_model(start.model, RECIPES["imagenet" if pictures else "esc50"], options.mode)
        config = dataclasses.replace(config, loss="bce" if data.multilabel else "ce")
        if options.mode == "finetune" and not pictures:
            config = with_specaug_in_proportion(config, options.frames or frames)
    if not pictures:
        config = at_length(dataclasses.replace(config, input_frames=0), options.frames or frames)
    config = dataclasses.replace(config, **changes)
    if data.multilabel and config.loss == "ce":
        raise UserError(
            f"{printable(options.data)}: clips may have several labels, which the loss 'ce' cannot learn; "
            "give --loss bce."
        )
    return config


def longest_seconds(clips: Sequence[LabelledClip]) -> float:
    """Return the length of the longest clip, of some hundreds evenly spread, and at most 10 s."""
    longest = 0.0
    for clip in clips[:: -(-len(clips) // CLIPS_MEASURED)]:
        try:
            longest = max(longest, soundfile.info(os.fsencode(clip.path)).duration)
        # Of sound without a header TypeError. What cannot be read is named when its turn comes.
        except (soundfile.LibsndfileError, TypeError):
            continue
    return min(longest or LONGEST_SECONDS, LONGEST_SECONDS)


def plan_series(runs: Sequence[SupervisedRun], options: argparse.Namespace) -> None:
    """Print what the runs of a command cost, measured on the first.

    Raises:
        UserError: what `print_plan` raises.
    """
    first = runs[0]
    print_plan(first.config, first.data, first.encoder(), len(runs), _watching(options))


def run_series(runs: Sequence[SupervisedRun], options: argparse.Namespace) -> None:
    """Do, or go on with, the runs of a command; tell each one's score.

    Raises:
        UserError: what `train` raises.
        InterruptedRun: Ctrl-C, SIGTERM or SIGHUP; the state was saved.
    """
    watching = _watching(options)
    first = jax.process_index() == 0
    if first:
        codes = describe_codes(runs[0].start.model, runs[0].config.model)
        print(_about(runs[0].data, codes, runs[0].config), file=sys.stderr)
    known: dict[SupervisedConfig, Known] = {}
    for run in runs:
        record = _finished(run)
        if record is None:
            # Folds may be read at different lengths, and an encoder that is drawn is another for every seed.
            reading = run.config if run.start.weights is None else dataclasses.replace(run.config, seed=0)
            record = train(
                run.config,
                run.data,
                run.encoder(),
                run.start.origin,
                dataclasses.replace(watching, workdir=run.workdir),
                known=known.setdefault(reading, {}),
            )
        if first:
            print(f"{run.title}: {_outcome(record)}", flush=True)


def _watching(options: argparse.Namespace) -> LoopOptions:
    """Return what watches every run of a command, in no directory yet."""
    names = [field.name for field in dataclasses.fields(LoopOptions) if field.name != "workdir"]
    return LoopOptions(workdir=Path(), **{name: getattr(options, name) for name in names})


def _finished(run: SupervisedRun) -> Mapping[str, Any] | None:
    """Return the record of a run that was completed before with these settings and data."""
    if not (run.workdir / SCORES_FILE).is_file() or not (run.workdir / CONFIG_FILE).is_file():
        return None
    if read_config(run.workdir, SupervisedConfig) != (run.config, run.data.digest):
        return None
    try:
        record = read_json(run.workdir / SCORES_FILE)
        _outcome(record)
    except (UserError, LookupError, TypeError, ValueError):
        return None  # it is written anew, from the last checkpoint
    return record


def _about(data: LabelledData, codes: str, config: SupervisedConfig) -> str:
    parts = ", ".join(f"{len(clips)} {name}" for name, clips in _clips_of(data).items() if clips)
    missing = f"; {len(data.missing)} clips are missing" if data.missing else ""
    return f"{data.name}: {len(data.classes)} classes, {parts}{missing}; {config.frames} frames, {codes}."


def _clips_of(data: LabelledData) -> dict[str, tuple[LabelledClip, ...]]:
    return {"training": data.training, "validation": data.validation, "test": data.test}


def _outcome(record: Mapping[str, Any]) -> str:
    metric, test = record["metric"], record["test"]
    best = test["best"]
    return (
        f"{metric} {100 * test['last'][metric]:.1f} on {record['clips']['test']} test clips, "
        f"{100 * best[metric]:.1f} at epoch {best['epoch']:g} (best on {best['chosen_on']})"
    )
