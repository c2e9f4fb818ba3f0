"""The command `hear-mwmae pretrain`: train a model, or go on with a run that was stopped."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from hear_mwmae.config import NAMED_MODELS, ModelConfig, named_model, with_paper_windows
from hear_mwmae.errors import UserError
from hear_mwmae.json_files import parse_json
from hear_mwmae.names import printable
from hear_mwmae.pretrain.needed import run_pretrain_command
from hear_mwmae.pretrain.options import WATCHERS, add_host_options, add_run_options
from hear_mwmae.pretrain.settings import PRECISIONS, TrainConfig

PROGRAM = "hear-mwmae pretrain"
HELP = f"""Train an MAE, MW-MAE or Audio-MAE on prepared data, or go on with a run.

  hear-mwmae prepare recordings/ --out data/
  {PROGRAM} --config table7:mw_mae_5x5 --data data/ --plan
  {PROGRAM} --config table7:mw_mae_5x5 --data data/ --workdir runs/5x5
  {PROGRAM} --config table7:mw_mae_5x5 --tiny --data data/ --workdir runs/tiny
  {PROGRAM} --model mw_mae_t --data data/ --workdir runs/t --epochs 50 --batch-size 256
  {PROGRAM} --config audio_mae:as2m_b_local --data data128/ --workdir runs/audio_mae
  hear-mwmae export runs/5x5 --out mw_mae_b_5x5.safetensors

A run that was stopped, by Ctrl-C, a crash or a full disk, goes on when the same command is given again, and
ends with the same parameters. `hear-mwmae configs` lists the published runs. The data of an Audio-MAE are
prepared with --front-end fbank_128.

--model-options takes any field of hear_mwmae.ModelConfig, such as class_token, relative_position_bias,
position_codes ("trained" or "fixed"), norm_pix_loss, mask ("random", "time", "frequency", "time+frequency"),
mask_ratio, objective ("reconstruction", "contrastive", "both"), decoder_attention ("global", "local"),
patch_size, encoder_windows and decoder_windows (one length per head, 0 for a global head, or "paper" for the
paper's rule):

  {PROGRAM} --model mae_t --data data/ --workdir runs/fair --model-options '{{"class_token": false}}'

The work directory holds config.json, run.json (program and machine), checkpoints/, log.jsonl, tensorboard/
and pictures/. On several hosts give every one the same command and --distributed; the work directory must
be a folder that all of them see (gs:// and s3:// addresses are not).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0, 2 (a mistake), 130, 143 or 129 (stopped)."""
    return run_pretrain_command(
        lambda: _run(_parser().parse_args(arguments)),
        "stopped; what was saved before is kept. Run the same command to go on.",
    )


def _run(options: argparse.Namespace) -> int:
    config = train_config(options)
    if options.workdir is None and not options.plan:
        raise UserError(
            "Say with --workdir where the run shall lie (or ask for its costs only, with --plan)."
        )
    # Imported here: what follows takes seconds to load, and jax must not start before the hosts are joined.
    from hear_mwmae.pretrain.hosts import join_hosts
    from hear_mwmae.pretrain.training.cost import warn_of_emulation
    from hear_mwmae.pretrain.training.interruption import InterruptedRun

    join_hosts(
        automatic=options.distributed,
        coordinator=options.coordinator,
        processes=options.processes,
        process_id=options.process_id,
    )
    warn_of_emulation(config.precision)
    if options.plan:
        return _plan(config, options)
    from hear_mwmae.pretrain.training.train import TrainingOptions, train

    names = [field.name for field in dataclasses.fields(TrainingOptions)]
    try:
        train(config, TrainingOptions(**{name: getattr(options, name) for name in names}))
    except InterruptedRun as stop:
        print(stop, file=sys.stderr)
        return stop.exit_status
    return 0


def _plan(config: TrainConfig, options: argparse.Namespace) -> int:
    from hear_mwmae.pretrain.data.data_sets import load_data_sets
    from hear_mwmae.pretrain.training.plan import print_plan

    clips = len(load_data_sets(config, options.data, options.validation).training)
    print_plan(config, clips, remat=options.remat, fsdp=options.fsdp, kernel=options.kernel)
    return 0


def train_config(options: argparse.Namespace) -> TrainConfig:
    """Return the settings that the options name, with those that they override.

    Raises:
        UserError: no such run or model, or numbers that do not fit each other.
    """
    if options.config:
        from hear_mwmae.pretrain.configs import find_run

        base = find_run(options.config, tiny=options.tiny).train
    elif options.tiny:
        raise UserError("--tiny makes a small variant of a published run: give it with --config.")
    else:
        base = TrainConfig(model=named_model(options.model).config)
    fields = [field.name for field in dataclasses.fields(TrainConfig) if field.name != "model"]
    given = {name: value for name in fields if (value := getattr(options, name, None)) is not None}
    if options.decay:
        given |= {"decay_all": options.decay == "all", "decay_tokens": options.decay == "tokens"}
    model = model_config(base.model, options.model_options)
    if options.normalise == "data":
        model = normalised_by(model, options.data)
    return dataclasses.replace(base, model=model, **given)


def normalised_by(model: ModelConfig, data: Path) -> ModelConfig:
    """Return a model with the mean and deviation of prepared data.

    Raises:
        UserError: no prepared data, or such as do not tell them.
    """
    from hear_mwmae.pretrain.data.manifest import read_manifest  # pyarrow; --help is there before it

    manifest = read_manifest(data)
    if manifest.feature_std == 0:
        raise UserError(
            f"{printable(data)}: its manifest tells no deviation of its values; prepare the data again into "
            "another folder, or leave out --normalise."
        )
    return dataclasses.replace(model, feature_mean=manifest.feature_mean, feature_std=manifest.feature_std)


def model_config(base: ModelConfig, changes: str) -> ModelConfig:
    """Return a model with the fields changed that a JSON object names.

    The value "paper" of `decoder_windows` stands for the paper's rule, which sets `decoder_heads` too.

    Raises:
        UserError: not a JSON object, an unknown field, or values that do not fit.
    """
    source = "--model-options"
    values = parse_json(changes, f"{source}: {changes[:80]!r}")
    if not isinstance(values, dict):
        raise UserError(
            f'{source}: {printable(changes[:80])!r} is not a JSON object such as {{"class_token": true}}.'
        )
    by_rule = values.get("decoder_windows") == "paper"
    if by_rule:
        values["decoder_windows"] = []
    config = ModelConfig.from_json(json.dumps(json.loads(base.to_json()) | values), source=source)
    return with_paper_windows(config) if by_rule else config


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--config", metavar="TABLE:RUN", help="a published run")
    what.add_argument("--model", choices=NAMED_MODELS, metavar="NAME", help=f"{', '.join(NAMED_MODELS)}")
    parser.add_argument("--tiny", action="store_true", help="the published run's variant for a CPU")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="prepared data")
    parser.add_argument("--validation", type=Path, metavar="DIR", help="prepared data held out")
    parser.add_argument("--workdir", type=Path, metavar="W", help="directory of the run, made if needed")
    parser.add_argument("--plan", action="store_true", help="print what the run costs, and do not run")
    parser.add_argument(
        "--model-options", default="{}", metavar="JSON",
        help="fields of ModelConfig to change, see above",
    )  # fmt: skip
    _add_settings(parser.add_argument_group("settings, which decide the outcome (default: the run's)"))
    add_run_options(parser, WATCHERS | {"--picture-every": "steps; 0: never"})
    add_host_options(parser)
    return parser


def _add_settings(group: argparse._ArgumentGroup) -> None:
    for option, kind, text in (
        ("--epochs", float, "passes over the clips"),
        ("--warmup-epochs", float, "of them, those in which the rate rises"),
        ("--batch-size", int, "crops in one update, over all devices"),
        ("--base-learning-rate", float, "per 256 crops of a batch"),
        ("--min-learning-rate", float, "what the cosine falls to"),
        ("--weight-decay", float, ""),
        ("--beta1", float, "of AdamW"),
        ("--beta2", float, "of AdamW"),
        ("--clip-norm", float, "largest norm of the gradient; 0: no limit"),
        (
            "--accumulation-steps",
            int,
            "take a batch in so many parts, to save memory; a run may go on with others",
        ),
        ("--crops-per-clip", int, "crops taken each time a clip is read"),
        ("--data-fraction", float, "share of the clips to train on"),
        ("--seed", int, "of parameters, order, crops and masks"),
    ):
        group.add_argument(option, type=kind, help=text or None, metavar="X" if kind is float else "N")
    group.add_argument("--decay", choices=("all", "mask", "tokens"),
                       help="decay everything, or spare biases, norms, tokens, position codes (tokens: all "
                       "of these but class and mask token, as Audio-MAE's program does)")  # fmt: skip
    for option, text in (
        ("--roll", "roll each clip in time to a random frame before it is cropped"),
        ("--gain", "amplify each clip at random, by 0.5 to 1.5"),
    ):
        group.add_argument(option, action=argparse.BooleanOptionalAction, help=text)
    group.add_argument(
        "--normalise", choices=("model", "data"), default="model",
        help="spectrograms by the model's mean and deviation (which may be each clip's own), or by those of "
        "the data",
    )  # fmt: skip
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="of activations and products; bfloat16 is faster only where the device has it",
    )


if __name__ == "__main__":
    sys.exit(main())
