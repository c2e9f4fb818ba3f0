"""Folders of sound become shards of spectrograms; what stops on the way goes on where it was."""

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

from hear_mwmae.errors import UserError, first_line
from hear_mwmae.names import printable
from hear_mwmae.pretrain.data.manifest import (
    MANIFEST_FILE,
    PROGRESS_FOLDER,
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

# Files under way per process: enough to bridge a long one, little enough to keep their results in memory.
FILES_AHEAD = 4
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


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
