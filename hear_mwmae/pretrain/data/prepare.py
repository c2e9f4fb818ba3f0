"""Turn folders of sound into shards of spectrograms: `hear-mwmae prepare --help`."""

import argparse
import math
import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from hear_mwmae.audio import LONGEST_HOURS
from hear_mwmae.errors import UserError, first_line
from hear_mwmae.names import printable
from hear_mwmae.pretrain.data.content import verify
from hear_mwmae.pretrain.data.manifest import (
    MANIFEST_FILE,
    PROGRESS_FOLDER,
    REMARKS_FILE,
    SOUND_FRONT_ENDS,
    UNREADABLE_FILE,
    Manifest,
    Options,
    read_manifest,
)
from hear_mwmae.pretrain.data.shards import ShardSequence
from hear_mwmae.pretrain.data.sources import (
    InputsHash,
    Outcome,
    SoundSource,
    Unreadable,
    encode_source,
    find_sources,
)
from hear_mwmae.pretrain.data.worker import start_worker
from hear_mwmae.pretrain.needed import run_pretrain_command

# Files under way per process: enough to bridge a long one, little enough to keep their results in memory.
FILES_AHEAD = 4
SHORTEST_PIECE = 0.1
REMARKS_SHOWN = 10
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

HELP = f"""Turn folders of sound into shards of spectrograms for pre-training.

Any wav, flac, ogg, opus or mp3 of up to {LONGEST_HOURS} hours, of any rate and channel count, becomes
16 kHz mono, then a log-mel spectrogram stored as float16: 80 bands from 50 to 8000 Hz, 25 ms every 10 ms, as
MAE and MW-MAE read it, or with --front-end fbank_128 Kaldi's filter bank, as Audio-MAE does.
DIR receives ArrayRecord shards, index.parquet (id, shard, row, frames) and {MANIFEST_FILE}.

  hear-mwmae prepare AUDIO_FOLDER --out DIR
  hear-mwmae prepare a/ b/ one.wav --out DIR --workers 8
  hear-mwmae prepare records.csv --tfrecord --out DIR
  hear-mwmae prepare AUDIO_FOLDER --out DIR --front-end fbank_128
  hear-mwmae prepare --verify DIR

A stopped or killed run is continued by the same command, with the same result. What cannot be read is listed
in {UNREADABLE_FILE} with the reason; what is doubtful in {REMARKS_FILE}: sound that ends before
its header says, and channels that cancel each other. Linked folders are followed; hidden files, trash and
system files are passed over. Exit status: 0, 2 (a mistake), 130, 143 or 129 (stopped).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0, 2 (a mistake), 130, 143 or 129 (stopped)."""

    def work() -> int:
        parser = _parser()
        options = parser.parse_args(arguments)
        if bool(options.verify) == bool(options.audio and options.out):
            parser.error("give AUDIO and --out DIR, or --verify DIR")
        return _verify(options.verify) if options.verify else _prepare(options)

    return run_pretrain_command(work, "stopped; run the same command again to continue.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hear-mwmae prepare",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "audio", type=Path, nargs="*", metavar="AUDIO", help="folders (searched at any depth) or files"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--verify", type=Path, metavar="DIR", help="compare every byte of DIR with its manifest"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes; default: one per processor")
    parser.add_argument("--strict", action="store_true", help="stop at the first unreadable file, exit 2")
    parser.add_argument(
        "--clip-seconds", type=float, default=Options.clip_seconds, metavar="S",
        help="cut files more than 2 %% longer than this into equal pieces of at most about this length; "
        "AudioSet's clips have the default, %(default)g s",
    )  # fmt: skip
    parser.add_argument("--shard-clips", type=int, default=Options.shard_clips, metavar="N",
                        help="clips in a shard, default %(default)s: 650 MB of 10 s clips")  # fmt: skip
    parser.add_argument(
        "--front-end", choices=SOUND_FRONT_ENDS, default=Options.front_end,
        help="of sound files, as the model's (default %(default)s)",
    )  # fmt: skip
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--tfrecord", dest="inputs", action="store_const", const="tfrecord", default="audio",
        help="the inputs are *.tfrec or *.tfrecord files with log-mels as the released MW-MAE code reads "
        "them, or a CSV file whose column 'files' names such files",
    )  # fmt: skip
    kind.add_argument(
        "--images", dest="inputs", action="store_const", const="images",
        help="the inputs are pictures (jpg, png, bmp, webp), for the runs of table 5: the shorter side is "
        "scaled to 224 pixels, the centre kept; training crops and mirrors nothing",
    )  # fmt: skip
    return parser


def _verify(directory: Path) -> int:
    manifest = verify(directory)
    print(f"{directory}: {len(manifest.shards)} shards with {manifest.clips} clips are undamaged.")
    return 0


def _prepare(arguments: argparse.Namespace) -> int:
    if arguments.workers is not None and arguments.workers < 1:
        raise UserError("--workers must be at least 1.")
    if not SHORTEST_PIECE <= arguments.clip_seconds < math.inf or arguments.shard_clips < 1:
        raise UserError(f"--clip-seconds must be at least {SHORTEST_PIECE}, --shard-clips at least 1.")
    manifest = prepare(
        arguments.audio,
        arguments.out,
        options=Options(arguments.inputs, arguments.clip_seconds, arguments.shard_clips, arguments.front_end),
        workers=arguments.workers,
        strict=arguments.strict,
    )
    content = "pictures" if arguments.inputs == "images" else f"clips, {manifest.hours:.2f} hours"
    print(
        f"{arguments.out}: {manifest.clips} {content} in {len(manifest.shards)} "
        f"shards; float16 differs from float32 by {manifest.largest_float16_error:.4f} at most, "
        f"{manifest.rms_float16_error:.5f} rms."
    )
    if manifest.unreadable:
        listing = arguments.out / UNREADABLE_FILE
        print(
            f"warning: {manifest.unreadable} files or records could not be read and are left out; "
            f"{printable(listing)} lists them.",
            file=sys.stderr,
        )
    remarks = arguments.out / REMARKS_FILE
    if remarks.is_file():
        _tell_remarks(remarks)
    return 0


def _tell_remarks(listing: Path) -> None:
    """Name the first clips that end early or whose channels cancel each other."""
    with listing.open(encoding="utf-8") as file:
        lines = [printable(line.rstrip("\n").replace("\t", ": ", 1)) for line in file]
    for line in lines[:REMARKS_SHOWN]:
        print(f"warning: {line}", file=sys.stderr)
    if len(lines) > REMARKS_SHOWN:
        print(f"warning: {len(lines)} such remarks in all; {printable(listing)} lists them.", file=sys.stderr)


def prepare(
    roots: Sequence[Path],
    out: Path,
    *,
    options: Options | None = None,
    workers: int | None = None,
    strict: bool = False,
) -> Manifest:
    """Write shards of spectrograms of all sound below the roots, or finish what a stopped run began.

    The result depends on files and options alone, not on the number of worker processes or on interruptions.
    A folder finished earlier from the same files and options is left as it is.

    Raises:
        UserError: no sound, nothing readable, another content in `out`, or, if `strict`, an unreadable file.
    """
    options, workers = options or Options(), workers or os.cpu_count() or 1
    sources = find_sources(roots, options.inputs)
    if (out / MANIFEST_FILE).is_file():
        return _finished_earlier(out, sources, options, strict=strict)
    with _writing_to(out), ExitStack() as stack:
        shards = ShardSequence(out, sources, options)
        _refuse(shards.unreadable, strict=strict)
        first, passed = shards.position
        if shards.reports:
            print(f"continuing behind {len(shards.reports)} finished shards.", file=sys.stderr)
        encode = partial(encode_source, options=options)
        stack.callback(shards.abandon)
        with _processes(workers) as pool, _progress_bar(len(sources), first) as bar:
            results = _in_order(pool, encode, sources[first:], ahead=FILES_AHEAD * workers)
            for source_number, outcomes in enumerate(results, first):
                for number, outcome in enumerate(outcomes[passed:], passed):
                    if isinstance(outcome, Unreadable):
                        _refuse([(outcome.id, outcome.reason)], strict=strict)
                    shards.add(source_number, number, outcome)
                passed = 0
                bar.update()
        return shards.finish()


def _refuse(unreadable: Sequence[tuple[str, str]], *, strict: bool) -> None:
    if strict and unreadable:
        clip_id, reason = unreadable[0]
        raise UserError(
            f"{clip_id}: {reason} Repair or remove it, or skip it by leaving out --strict; finished shards "
            "are kept, and the same command continues behind them."
        )


@contextmanager
def _writing_to(out: Path) -> Iterator[None]:
    """Hold the folder against a second run; name the folder where writing fails."""
    progress = out / PROGRESS_FOLDER
    try:
        progress.mkdir(parents=True, exist_ok=True)
        with FileLock(progress / "lock", timeout=0):
            yield
    except Timeout:
        raise UserError(
            f"{printable(out)}: another run is writing there; wait for it or give another --out."
        ) from None
    except BrokenProcessPool:
        raise UserError(
            "A worker process was ended, perhaps for want of memory; the same command, with fewer --workers, "
            "continues behind the finished shards."
        ) from None
    except (OSError, RuntimeError) as error:
        # The writer of shards reports a full disk as a RuntimeError.
        reason = getattr(error, "strerror", None) or first_line(error).split(";")[0]
        raise UserError(
            f"{printable(out)}: cannot be written ({reason}); make room or give another --out. The same "
            "command continues behind the finished shards."
        ) from None


@contextmanager
def _processes(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes, one thread each, also for one worker: so results do not depend on their number."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), start_worker)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _in_order(
    pool: ProcessPoolExecutor,
    encode: Callable[[SoundSource], list[Outcome]],
    sources: Iterable[SoundSource],
    *,
    ahead: int,
) -> Iterator[list[Outcome]]:
    """Yield the results in the order of the sources, with at most `ahead` of them under way."""
    pending: deque[Future] = deque()
    for source in sources:
        pending.append(pool.submit(encode, source))
        if len(pending) >= ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _progress_bar(files: int, done: int) -> tqdm:
    return tqdm(total=files, initial=done, desc="preparing", unit="file", disable=None)


def _finished_earlier(
    out: Path, sources: Sequence[SoundSource], options: Options, *, strict: bool
) -> Manifest:
    manifest = read_manifest(out)
    if InputsHash(sources, options).of_first(len(sources)) != manifest.inputs_sha256:
        raise UserError(
            f"{printable(out)}: was prepared from other files or with other options; give another --out, "
            "or delete the folder to prepare it again."
        )
    if strict and manifest.unreadable:
        raise UserError(
            f"{printable(out)}: was prepared without {manifest.unreadable} files or records that could not "
            f"be read ({UNREADABLE_FILE} lists them): repair or remove them, or leave out --strict."
        )
    return manifest


if __name__ == "__main__":
    sys.exit(main())
