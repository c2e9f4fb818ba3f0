"""The commands `hear-mwmae finetune` and `hear-mwmae probe`, also as `python -m hear_mwmae.supervised`."""

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.needed import run_pretrain_command
from hear_mwmae.pretrain.options import add_host_options, add_run_options
from hear_mwmae.pretrain.settings import PRECISIONS
from hear_mwmae.supervised.settings import LOSSES, MODES, POOLINGS, SAMPLINGS, SupervisedConfig

HELP = """Train on labelled sound: all of an encoder and a classifier on it, or linear probes of a frozen one.

  hear-mwmae finetune --init mw_mae_t --data tasks/esc50-v2.0.0-full --fold all --seeds 5 --workdir W
  hear-mwmae probe --init model.safetensors --data table.csv --workdir W
  hear-mwmae finetune --config audioset_20k:mw_mae_b --init model.safetensors --data AUDIOSET --workdir W
  hear-mwmae finetune --config audioset_20k:mw_mae_b --init model.safetensors --data AUDIOSET --plan
  hear-mwmae finetune --config esc50:audio_mae_b --init audioset.safetensors --data ESC-50 --workdir W
  hear-eval report --supervised W

DATA is a HEAR task, a table filename,label[;label],split or fold, or a data set in its own layout: AudioSet's
segment lists, Speech Commands, VoxCeleb1, ESC-50, ImageNet's folders. Clips that the lists name and that are
not there are counted, and named in W/missing.txt.

--init is a model file, a run of `hear-mwmae pretrain` that was exported, or a name that `hear-mwmae models`
lists; --random-init takes its shape with weights drawn anew. --config DATA:MODEL sets what a paper says;
without it the settings are those of ESC-50 in the supplement of Audio-MAE, for clips as long as the longest.

A run that was stopped goes on when the same command is given again, and ends with the same parameters. The
work directory of a run holds config.json, run.json, checkpoints/, log.jsonl, tensorboard/, scores.json and
predictions.npz; several folds or seeds have one each, W/<fold>/seed<k>. `hear-mwmae export W --out FILE`
writes a fine-tuned encoder as a model file, which can be embedded, evaluated, and fine-tuned further.
"""
NUMBERS: dict[str, tuple[type, str]] = {
    "--epochs": (float, "passes over the clips"),
    "--warmup-epochs": (float, "of them, those in which the rate rises"),
    "--batch-size": (int, "clips in one update, over all devices"),
    "--label-smoothing": (float, "of cross-entropy"),
    "--clips-per-epoch": (int, "clips that --sampling weighted draws"),
}
OF_FINETUNING: dict[str, tuple[type, str]] = {
    "--base-learning-rate": (float, "per 256 clips of a batch"),
    "--min-learning-rate": (float, "what the cosine falls to"),
    "--weight-decay": (float, "of AdamW"),
    "--beta1": (float, "of AdamW"),
    "--beta2": (float, "of AdamW"),
    "--clip-norm": (float, "largest norm of the gradient; 0: no limit"),
    "--accumulation-steps": (int, "take a batch in so many parts, to save memory"),
    "--layer-decay": (float, "rate of a block by that of the one above it"),
    "--drop-path": (float, "share of inputs that skip a branch of the last block"),
    "--mask-time": (float, "share of the columns hidden in training"),
    "--mask-frequency": (float, "share of the bands hidden in training"),
    "--noise-db": (float, "signal-to-noise ratio of noise on spectrograms; 0: none"),
    "--specaug-frames": (int, "SpecAugment: fewer frames than this are hidden"),
    "--specaug-bands": (int, "SpecAugment: fewer bands than this are hidden"),
    "--mixup": (float, "share of clips mixed with another"),
    "--mixup-shape": (float, "of the Beta distribution of its weights"),
}
OF_PROBE: dict[str, tuple[type, str]] = {
    "--weight-decay": (float, "factor of |w|^2 / 2 in the loss"),
    "--beta1": (float, "momentum"),
}
RENAMED = {"--mask-time": "mask_time_ratio", "--mask-frequency": "mask_frequency_ratio"}
STOPPED = "stopped; what was saved before is kept. Run the same command to go on."


def main(arguments: Sequence[str] | None = None, mode: str | None = None) -> int:
    """Run the command line; return the exit status: 0, 2 (a mistake), 130, 143 or 129 (stopped).

    Without a `mode`, --mode says which, and fine-tuning is the default.
    """

    def work() -> int:
        chosen = argparse.ArgumentParser(add_help=False)
        _add_mode(chosen)
        return _run(_parser(mode, mode or chosen.parse_known_args(arguments)[0].mode).parse_args(arguments))

    return run_pretrain_command(work, STOPPED)


def _add_mode(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mode", choices=MODES, default=MODES[0], help="default: %(default)s")


def _run(options: argparse.Namespace) -> int:
    if options.workdir is None and not options.plan:
        raise UserError(
            "Say with --workdir where the run shall lie (or ask for its costs only, with --plan)."
        )
    # Imported here: what follows takes seconds to load, and jax must not start before the hosts are joined.
    from hear_mwmae.pretrain.hosts import join_hosts
    from hear_mwmae.pretrain.training.interruption import InterruptedRun

    join_hosts(
        automatic=options.distributed,
        coordinator=options.coordinator,
        processes=options.processes,
        process_id=options.process_id,
    )
    from hear_mwmae.pretrain.training.cost import warn_of_emulation
    from hear_mwmae.supervised.series import plan_series, run_series, series_of

    series = series_of(options, _changes(options))
    if options.mode == "finetune":
        warn_of_emulation(series[0].config.precision)
    if options.plan:
        plan_series(series, options)
        return 0
    try:
        run_series(series, options)
    except InterruptedRun as stop:
        print(stop, file=sys.stderr)
        return stop.exit_status
    return 0


def _changes(options: argparse.Namespace) -> dict[str, object]:
    """Return the settings that the command line names."""
    fields = {field.name for field in dataclasses.fields(SupervisedConfig)} - {"model", "mode", "seed"}
    given = {name: value for name in fields if (value := getattr(options, name, None)) is not None}
    if "learning_rates" in given:
        given["learning_rates"] = tuple(given["learning_rates"])
    return given


def _parser(command: str | None, mode: str) -> argparse.ArgumentParser:
    program = f"hear-mwmae {command}" if command else "python -m hear_mwmae.supervised"
    parser = argparse.ArgumentParser(
        prog=program, description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if command:
        parser.set_defaults(mode=mode)
    else:
        _add_mode(parser)
    add = parser.add_argument
    add("--config", default="", metavar="DATA:MODEL", help="a published run, such as audioset_20k:mw_mae_b")
    add("--tiny", action="store_true", help="the published run's variant for a CPU")
    add("--init", default="", metavar="FILE|NAME", help="model file, or name of a model")
    add(
        "--random-init", action="store_true", help="weights drawn anew instead of those of --init or --config"
    )
    add("--name", default="", help="what tables call the model (default: the name of the file)")
    add("--data", type=Path, required=True, metavar="DATA", help="labelled data")
    add("--workdir", type=Path, metavar="W", help="directory of the run, made if needed")
    add("--plan", action="store_true", help="print what the run costs, and do not run")
    add("--fold", default="", metavar="FOLD", help="fold to test, or all (default: the first)")
    add(
        "--seeds",
        type=int,
        default=1,
        metavar="N",
        help="runs of each fold, with seeds 0 to N - 1 (default 1)",
    )
    add("--seed", type=int, metavar="K", help="this one seed")
    labelled = parser.add_argument_group("data")
    for option, text in (
        ("--sound", "folder of the clips, where it is not the data set's own"),
        ("--classes", "list of the classes, one a line (default: those that occur)"),
        ("--leave-out", "list of clips to leave out, one a line"),
    ):
        labelled.add_argument(option, type=Path, metavar="PATH", help=text)
    labelled.add_argument(
        "--subset", default="", metavar="NAME",
        help="of ESC-50 esc10, of AudioSet 20k or 2m, of Speech Commands v1 or v2",
    )  # fmt: skip
    labelled.add_argument("--frames", type=int, metavar="N",
                          help="frames of 10 ms that are read of a clip, from its start")  # fmt: skip
    _add_settings(parser.add_argument_group("settings, which decide the outcome (default: the run's)"), mode)
    add_run_options(parser)
    add_host_options(parser)
    return parser


def _add_settings(group: argparse._ArgumentGroup, mode: str) -> None:
    """Add the options that the mode has; the other mode's are unknown to it."""
    _add_numbers(group, NUMBERS | (OF_FINETUNING if mode == "finetune" else OF_PROBE))
    group.add_argument(
        "--loss", choices=LOSSES,
        help="cross-entropy, or one binary cross-entropy per class (default: what the labels need)",
    )  # fmt: skip
    group.add_argument(
        "--sampling", choices=SAMPLINGS,
        help="clips of an epoch: each once, by weights of classes, or classes repeated",
    )  # fmt: skip
    if mode == "probe":
        group.add_argument("--learning-rates", type=float, nargs="+", metavar="X",
                           help="of the heads, per 256 clips of a batch")  # fmt: skip
        group.add_argument("--pooling", choices=POOLINGS,
                           help="what is read: mean of the patch tokens, or the scene embedding")  # fmt: skip
        return
    group.add_argument("--precision", choices=PRECISIONS, help="of activations and products")
    for option, text in (
        ("--roll", "roll each clip in time to a random start"),
        ("--gain", "amplify each clip at random, by 0.5 to 1.5"),
        ("--ast-noise", "noise as in AST's program"),
    ):
        group.add_argument(option, action=argparse.BooleanOptionalAction, help=text)


def _add_numbers(group: argparse._ArgumentGroup, numbers: Mapping[str, tuple[type, str]]) -> None:
    for option, (kind, text) in numbers.items():
        group.add_argument(
            option, type=kind, help=text, metavar="X" if kind is float else "N",
            dest=RENAMED.get(option, option.removeprefix("--").replace("-", "_")),
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
