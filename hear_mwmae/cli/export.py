"""`hear-mwmae export WORKDIR --out model.safetensors`: a run as a model file."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from hear_mwmae.errors import UserError
from hear_mwmae.json_files import read_json
from hear_mwmae.names import printable
from hear_mwmae.pretrain.needed import run_pretrain_command
from hear_mwmae.pretrain.settings import CONFIG_FILE, TrainConfig
from hear_mwmae.supervised.data.labels import read_classes
from hear_mwmae.supervised.settings import SupervisedConfig

DTYPES = ("float32", "float16")


def parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    parser = argparse.ArgumentParser(
        prog="hear-mwmae export",
        description="Write a model file from the checkpoint of a pre-training or fine-tuning run.",
    )
    parser.add_argument("workdir", type=Path, help="directory of the run")
    parser.add_argument("--out", type=Path, required=True, help="model file to write, *.safetensors")
    parser.add_argument("--step", type=int, help="checkpoint of this step (default: the newest)")
    parser.add_argument("--encoder-only", action="store_true", help="leave the decoder out")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="of the stored values")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""

    def work() -> None:
        _export(parser().parse_args(argv))

    return run_pretrain_command(work, "stopped; nothing was written. Run the same command to start again.")


def _kind_of(workdir: Path) -> type[TrainConfig] | type[SupervisedConfig]:
    """Tell a supervised run by its mode; what is wrong with the file, `read_config` says."""
    try:
        settings = read_json(workdir / CONFIG_FILE)["train"]
        return SupervisedConfig if "mode" in settings else TrainConfig
    except (OSError, UserError, KeyError, TypeError):
        return TrainConfig


def _export(options: argparse.Namespace) -> None:
    from hear_mwmae.pretrain.training.checkpoints import read_config, restore_params  # JAX; --help is there
    from hear_mwmae.pretrain.training.export import export_model  # before it
    from hear_mwmae.pretrain.training.logs import JSONL_FILE, loss_curve
    from hear_mwmae.pretrain.training.provenance import public_starts
    from hear_mwmae.supervised.training.export import finetuned_model

    if options.out.suffix != ".safetensors":
        raise UserError(f"{printable(options.out)}: a model file is named *.safetensors.")
    if not options.out.absolute().parent.is_dir():
        raise UserError(
            f"{printable(options.out.parent)}: there is no such folder; make it, or write elsewhere."
        )
    kind = _kind_of(options.workdir)
    config, data_hash = read_config(options.workdir, kind)
    params, step = restore_params(options.workdir, options.step)
    if read_config(options.workdir, kind) != (config, data_hash):
        raise UserError(
            f"{printable(options.workdir)}: another run was begun there meanwhile; export it again."
        )
    provenance = {
        "train": json.loads(config.to_json()),
        "step": step,
        "data_hash": data_hash,
        "loss": loss_curve(options.workdir / JSONL_FILE, step),
        "starts": public_starts(options.workdir),
    }
    model = config.model
    if isinstance(config, SupervisedConfig):
        model, params = finetuned_model(params, config)
        provenance["classes"] = read_classes(options.workdir)
    export_model(
        options.out,
        params,
        model,
        provenance=provenance,
        decoder=not options.encoder_only,
        dtype=options.dtype,
    )
    print(f"{options.out}: step {step}, {options.out.stat().st_size / 2**20:.1f} MiB")
