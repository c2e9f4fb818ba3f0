"""The command `hear-mwmae`: embed sound files, list and show models, convert released checkpoints."""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from hear_mwmae.audio import LONGEST_HOURS, find_audio, measure_sound, read_audio
from hear_mwmae.command import run_command
from hear_mwmae.config import NAMED_MODELS, named_model
from hear_mwmae.convert import convert_checkpoint, decoder_shapes, encoder_shapes
from hear_mwmae.embedding import PRECISIONS, TIMESTAMPS, EmbeddingModel
from hear_mwmae.errors import UserError, first_line
from hear_mwmae.files import Signature, name_as_text, signature
from hear_mwmae.frontend import HOP_MS
from hear_mwmae.loading import load_model
from hear_mwmae.model_file import unchanged
from hear_mwmae.names import printable
from hear_mwmae.outputs import Output, check_output, open_output
from hear_mwmae.processor import describe_bf16
from hear_mwmae.weights import WEIGHTS_VARIABLE, find_weights, read_model_file, user_cache, write_model_file

# Sound per call to the model: enough to fill its batches, little enough to keep in memory.
SECONDS_AT_ONCE = 120.0

EMBED_HELP = f"""Embed sound files of up to {LONGEST_HOURS} hours, of any rate and channel count.

One row per file (the mean over time), or with --timestamps one row per patch length of sound (40 ms for 4x16
models). All files are read once before the work starts, so that a bad one is named before anything is lost.
Folders are searched at any depth, linked ones too; hidden files, trash and system files are passed over. What
decodes counts: sound that ends before its header says, and channels that cancel each other, are named.

  hear-mwmae embed recordings/ --model mw_mae_b --weights mw_mae_b.safetensors --out scenes.npz
  hear-mwmae embed a.wav b.mp3 --model mw_mae_t --out frames.parquet --timestamps

.npz holds files, embeddings, file_index (row -> file) and, with --timestamps, times_ms; .parquet holds file,
time_ms, embedding. Both also say model, weights ("random" where they are) and precision.
Without --weights the weights are looked for in ${WEIGHTS_VARIABLE}, the package, and the user's cache.
"""
CONVERT_HELP = """Convert a checkpoint directory of the released MW-MAE code into a model file.

  hear-mwmae convert mwmae_base_200_4x16_8x128_default_bfloat16_run1 \\
      --model mw_mae_b --out mw_mae_b.safetensors
  hear-mwmae convert my_run --heads 6 --out my_run.safetensors

Every parameter's shape is checked. Such a checkpoint does not state the encoder's head count, therefore name
the model or give the count; a wrong count cannot be noticed and gives wrong embeddings. With --decoder its
head count and the mask ratio must be known too: from config.json beside the checkpoint, the model's name, or
--decoder-heads and --mask-ratio. Optimiser state is ignored. Tested on checkpoints that the released code
wrote; the authors' own files were not at hand.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0, 1 (files left out), 2 (a mistake), 130 and others."""

    def work() -> int:
        options = _parser().parse_args(arguments)
        return options.run(options)

    return run_command(work, "stopped; nothing was written. Run the same command to start again.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hear-mwmae", description="Embeddings of sound from MAE and MW-MAE encoders."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    raw = argparse.RawDescriptionHelpFormatter
    embed = commands.add_parser(
        "embed", help="embed sound files", description=EMBED_HELP, formatter_class=raw
    )
    _add_embed_options(embed)
    models = commands.add_parser("models", help="list the named models and where their weights are")
    models.set_defaults(run=run_models)
    show = commands.add_parser("show", help="print the shape of a model file and where it is from, as JSON")
    show.add_argument("model", metavar="FILE_OR_NAME", help="*.safetensors, or a named model with weights")
    show.set_defaults(run=run_show)
    convert = commands.add_parser(
        "convert", help="convert a released checkpoint", description=CONVERT_HELP, formatter_class=raw
    )
    convert.add_argument("checkpoint", type=Path, help="run directory, or one file checkpoint_<step>")
    shape = convert.add_mutually_exclusive_group(required=True)
    shape.add_argument("--model", choices=NAMED_MODELS, help="the named model that it is", metavar="NAME")
    shape.add_argument(
        "--heads", type=int, help="head count of the encoder; the rest is read off the parameters"
    )
    convert.add_argument("--out", type=Path, required=True, help="model file to write, *.safetensors")
    convert.add_argument("--decoder", action="store_true", help="keep the decoder too")
    convert.add_argument(
        "--decoder-heads", type=int, metavar="N", help="its head count, where no config.json lies beside"
    )
    convert.add_argument(
        "--mask-ratio", type=float, metavar="R", help="share of the patches masked in training, likewise"
    )
    convert.set_defaults(run=run_convert)
    return parser


def _add_embed_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="FILE_OR_FOLDER", help="folders are searched at any depth"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="*.npz or *.parquet; replaced only when complete"
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--model", metavar="NAME", help="a named model, see `hear-mwmae models`")
    shape.add_argument(
        "--heads", type=int, help="of a released checkpoint that is no named model: head count"
    )
    parser.add_argument(
        "--weights", default="", metavar="PATH", help="model file or released checkpoint directory"
    )
    parser.add_argument("--timestamps", action="store_true", help="one row per time instead of per file")
    parser.add_argument("--times", choices=TIMESTAMPS, default="hear",
                        help="spread evenly from 0 as the released code does, or true centres")  # fmt: skip
    parser.add_argument("--precision", choices=PRECISIONS, default="float32",
                        help="bf16: within 1 %% of float32, and faster only where the processor has it; "
                        "`hear-mwmae models` says whether yours does")  # fmt: skip
    parser.add_argument("--device", help="torch device; default: cuda where there is one, else cpu")
    parser.add_argument("--allow-random-init", action="store_true", help="go on without weights (for tests)")
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave out unreadable files; list them, exit 1"
    )
    parser.set_defaults(run=run_embed)


def run_embed(options: argparse.Namespace) -> int:
    """Embed files; return 0, or 1 if bad files were left out.

    Raises:
        UserError: bad input; nothing has been written then.
    """
    files = find_audio(options.paths)
    check_output(options.out)
    if not options.weights and not options.model:
        raise UserError(
            "No model was given: name one with --model (see `hear-mwmae models`), or its file with --weights."
        )
    if not options.weights:
        named_model(options.model)
        if find_weights(options.model) is None and not options.allow_random_init:
            raise UserError(
                f"There are no weights for {options.model}: give --weights, put {options.model}.safetensors "
                f"into the folder ${WEIGHTS_VARIABLE}, or accept random ones with --allow-random-init."
            )
    found = options.weights or find_weights(options.model)
    about = {
        "model": options.model or "",
        "weights": name_as_text(found) if found else "random",
        "precision": options.precision,
    }
    with open_output(options.out, about) as output:
        model = load_model(
            options.weights,
            model=options.model,
            heads=options.heads,
            precision=options.precision,
            timestamps=options.times,
        ).to(_device(options.device))
        checked, bad = _check_files(files, model.sample_rate)
        if bad and (not options.skip_bad or not checked):
            raise UserError(_listing(bad, len(files)) + "\nRepair them, or leave them out with --skip-bad.")
        for path, known in checked.items():
            for remark in known.remarks:
                print(f"warning: {printable(path)}: {remark}", file=sys.stderr)
        _embed_files(checked, model, output, timestamps=options.timestamps)
    seconds = sum(known.seconds for known in checked.values())
    print(f"{options.out}: {len(checked)} files, {seconds:.1f} s of sound.")
    if bad:
        print(f"warning: {_listing(bad, len(files))}", file=sys.stderr)
    return 1 if bad else 0


def _device(name: str | None) -> torch.device:
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name}: cannot be used here ({first_line(error)}).") from None
    return device


@dataclass(frozen=True)
class _Checked:
    """A file that decodes."""

    seconds: float
    samples: int
    remarks: tuple[str, ...]
    signature: Signature


def _check_files(files: Sequence[Path], sample_rate: int) -> tuple[dict[Path, _Checked], list[str]]:
    """Decode every file once; return what is known of the good ones, and a sentence for each bad one."""
    good, bad = {}, []
    for path in tqdm(files, desc="checking", unit="file", leave=False, disable=None):
        try:
            with unchanged(path):
                samples, remarks = measure_sound(path, sample_rate)
                good[path] = _Checked(samples / sample_rate, samples, remarks, signature(path))
        except UserError as error:
            bad.append(str(error))
        except OSError as error:
            bad.append(f"{printable(path)}: cannot be read ({error.strerror}).")
    return good, bad


def _read_again(path: Path, known: _Checked, sample_rate: int) -> torch.Tensor:
    with unchanged(path):
        samples = read_audio(path, sample_rate)
        now = signature(path)
    if now != known.signature or len(samples) != known.samples:
        raise UserError(
            f"{printable(path)}: was changed since it was checked; run the same command when it is complete."
        )
    return torch.from_numpy(samples)


def _listing(bad: Sequence[str], total: int) -> str:
    return "\n  ".join([f"{len(bad)} of {total} files cannot be used:", *bad])


def _groups(checked: dict[Path, _Checked]) -> Iterator[list[Path]]:
    """Files in order, as many at once as fill `SECONDS_AT_ONCE`."""
    group: list[Path] = []
    total = 0.0
    for path, known in checked.items():
        if group and total + known.seconds > SECONDS_AT_ONCE:
            yield group
            group, total = [], 0.0
        group.append(path)
        total += known.seconds
    if group:
        yield group


def _embed_files(
    checked: dict[Path, _Checked], model: EmbeddingModel, output: Output, *, timestamps: bool
) -> None:
    total = sum(known.seconds for known in checked.values())
    with tqdm(total=total, desc="embedding", unit="s of sound", unit_scale=True, disable=None) as bar:
        for group in _groups(checked):
            clips = [_read_again(path, checked[path], model.sample_rate) for path in group]
            if timestamps:
                rows, times = model.timestamp_embeddings(clips)
            else:
                rows, times = model.scene_embeddings(clips).split(1), [None] * len(clips)
            for path, embeddings, at in zip(group, rows, times, strict=True):
                output.add(name_as_text(path), _array(embeddings), None if at is None else _array(at))
            # The sum of the parts may exceed the total by a rounding error.
            bar.update(min(sum(checked[path].seconds for path in group), total - bar.n))


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.cpu().numpy()


def run_models(_: argparse.Namespace) -> int:
    """Print a table of the named models."""
    print(f"{'model':14}{'encoder':>9}{'+decoder':>10}{'size':>7}{'per':>7}  {'in the paper':24}weights")
    for name, model in NAMED_MODELS.items():
        encoder, decoder = (
            sum(math.prod(shape) for shape in shapes(model.config).values()) / 1e6
            for shapes in (encoder_shapes, decoder_shapes)
        )
        column = f"{model.config.patch_size[0] * HOP_MS:.0f} ms"
        print(
            f"{name:14}{encoder:7.1f} M{encoder + decoder:8.1f} M{model.config.embedding_size:7}{column:>7}  "
            f"{model.row:24}{find_weights(name) or 'none found'}"
        )
    print(
        "\nParameters, length of an embedding, and the sound that one timestamp embedding stands for. The\n"
        "weights in the package have a smaller decoder than the paper's, 6.4 M parameters in all."
    )
    print(
        f"Weights are looked for as <model>.safetensors in ${WEIGHTS_VARIABLE}, the package, {user_cache()}."
    )
    print(describe_bf16())
    for name, model in NAMED_MODELS.items():
        if model.released_directory:
            print(f"Released by the paper's authors for {name}: {model.released_directory} (see `convert`).")
    return 0


def run_show(options: argparse.Namespace) -> int:
    """Print a model file's path, `ModelConfig` and provenance as one JSON object.

    Raises:
        UserError: no such file, no such model, or no weights of that name.
    """
    path = Path(options.model)
    if path.suffix != ".safetensors":
        named_model(options.model)
        path = find_weights(options.model)
    if path is None:
        raise UserError(f"There are no weights for {options.model}: name the model file itself.")
    weights = read_model_file(path)
    shape = json.loads(weights.config.to_json())
    about = {"file": name_as_text(path), "model": shape, "provenance": dict(weights.provenance)}
    print(json.dumps(about, indent=1))
    return 0


def run_convert(options: argparse.Namespace) -> int:
    """Write a released checkpoint as a model file.

    Raises:
        UserError: bad input; nothing has been written then.
    """
    if options.out.suffix != ".safetensors":
        raise UserError(f"{printable(options.out)}: the name of a model file must end in .safetensors.")
    if not options.checkpoint.exists():
        raise UserError(
            f"{printable(options.checkpoint)}: there is no such file or directory; correct the path."
        )
    config = named_model(options.model).config if options.model else None
    weights = convert_checkpoint(
        options.checkpoint,
        config=config,
        heads=options.heads,
        decoder=options.decoder,
        decoder_heads=options.decoder_heads,
        mask_ratio=options.mask_ratio,
    )
    write_model_file(options.out, weights)
    parameters = sum(tensor.numel() for tensor in weights.tensors.values()) / 1e6
    config = weights.config
    print(
        f"{options.out}: {parameters:.1f} M parameters of step {weights.provenance['step']}, "
        f"width {config.width}, depth {config.depth}, {config.heads} heads, "
        f"patches {config.patch_size[0]}x{config.patch_size[1]}, "
        f"embedding size {config.embedding_size}. Use it as hear_mwmae.from_checkpoint@{options.out}"
    )
    if assumed := weights.provenance.get("assumed"):
        listed = ", ".join(f"{field} {value}" for field, value in assumed.items())
        print(
            f"warning: nothing tells {listed}: assumed, as the file says. Embeddings do not depend on it.",
            file=sys.stderr,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
