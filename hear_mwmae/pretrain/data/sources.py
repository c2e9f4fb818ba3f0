"""The files that prepared data is made from, and what one gives: encoded clips, or a reason why not."""

import csv
import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hear_mwmae.audio import find_audio, read_sound
from hear_mwmae.errors import UserError, first_line
from hear_mwmae.files import files_below, name_as_text
from hear_mwmae.names import printable
from hear_mwmae.pretrain.data.kaldi_fbank import fbank
from hear_mwmae.pretrain.data.log_mel import SAMPLE_RATE, log_mel
from hear_mwmae.pretrain.data.manifest import Options
from hear_mwmae.pretrain.data.records import EncodedClip, encode_clip
from hear_mwmae.pretrain.data.tfrecord import read_log_mels

FRONT_ENDS = {"log_mel_80": log_mel, "fbank_128": fbank}
TFRECORD_SUFFIXES = {".tfrec", ".tfrecord"}
# Encoders append up to a tenth of a second; a clip of 10 s with such an end shall not become two halves.
GRACE = 0.02
# Names may hold any character, lists of them have one line each.
LINE_BREAKS = {
    ord(character): ascii(character)[1:-1] for character in "\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"
}


@dataclass(frozen=True)
class SoundSource:
    """One input file."""

    id: str
    """Path relative to its root with forward slashes, the root's name in front if there are several roots."""
    path: Path
    size: int
    modified_ns: int


@dataclass(frozen=True)
class Unreadable:
    """A file, or a record of one, that could not be read."""

    id: str
    reason: str


@dataclass(frozen=True)
class Remark:
    """What is doubtful about a file that is taken."""

    id: str
    text: str


Outcome = EncodedClip | Unreadable | Remark


class ChangedSource(UserError):
    """A file is no longer the one that was listed."""


def find_sources(roots: Sequence[Path], inputs: str = "audio") -> list[SoundSource]:
    """List the files below the roots, ordered by id, so that the order of the roots does not matter.

    A root is a folder, searched at any depth, or a file; of TFRecords also a CSV file whose column `files`
    names them. `inputs` is as in `manifest.Options`.

    Raises:
        UserError: a root that does not exist or holds nothing suitable, or two files with the same id.
    """
    find = {"audio": _audio, "tfrecord": _tfrecords, "images": _images}
    found: dict[str, SoundSource] = {}
    for root in roots:
        files, base = find[inputs](root)
        prefix = f"{root.resolve().name}/" if len(roots) > 1 and root.is_dir() else ""
        for path in files:
            source = _source(prefix + path.relative_to(base).as_posix(), path)
            if source.id in found:
                raise UserError(
                    f"{printable(path)} and {printable(found[source.id].path)} would both be clip "
                    f"{source.id!r}: give the folder that holds both."
                )
            found[source.id] = source
    sources = [found[key] for key in sorted(found)]
    if len({source.path.absolute() for source in sources}) < len(sources):
        raise UserError("Some files lie under two of the given folders; give each folder once.")
    return sources


def _audio(root: Path) -> tuple[list[Path], Path]:
    return find_audio([root]), root if root.is_dir() else root.parent


def _images(root: Path) -> tuple[list[Path], Path]:
    # Only here, as sound needs no package for pictures.
    from hear_mwmae.pretrain.data.images import find_images

    return find_images(root), root if root.is_dir() else root.parent


def _tfrecords(root: Path) -> tuple[list[Path], Path]:
    if root.suffix == ".csv" and root.is_file():
        return _listed_in_csv(root)
    if root.is_file():
        return [root], root.parent
    files = files_below(root, TFRECORD_SUFFIXES) if root.is_dir() else []
    if not files:
        what = "holds no *.tfrec or *.tfrecord files" if root.is_dir() else "there is no such file or folder"
        raise UserError(f"{printable(root)}: {what}; correct the path.")
    return files, root


def _listed_in_csv(table: Path) -> tuple[list[Path], Path]:
    """Files of column `files`, relative to the table where not absolute, and the deepest folder of all."""
    name = printable(table)
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            if (rows.fieldnames or []).count("files") != 1:
                raise UserError(f"{name}: needs a column 'files', once, with paths of TFRecord files.")
            names = [row["files"] for row in rows]
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{name}: is no table of comma-separated values in UTF-8 ({error}).") from None
    if not names or not all(names) or any("\0" in entry for entry in names):
        raise UserError(f"{name}: needs a column 'files' with the path of a TFRecord file in every row.")
    files = [Path(os.path.abspath(table.parent / name)) for name in dict.fromkeys(names)]
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise UserError(f"{name}: lists {printable(missing[0])}, which does not exist; correct the table.")
    return files, Path(os.path.commonpath([path.parent for path in files]))


def _source(clip_id: str, path: Path) -> SoundSource:
    status = path.stat()
    return SoundSource(name_as_text(clip_id).translate(LINE_BREAKS), path, status.st_size, status.st_mtime_ns)


class InputsHash:
    """SHA-256 of the options and the first so many sources, taken in one pass."""

    def __init__(self, sources: Sequence[SoundSource], options: Options) -> None:
        self._sources, self._taken = sources, 0
        self._digest = hashlib.sha256(options.hashed.encode())

    def of_first(self, count: int) -> str:
        """Hash of the first `count` sources; counts must not decrease from call to call."""
        for source in self._sources[self._taken : count]:
            self._digest.update(f"{source.id}\n{source.size} {source.modified_ns}\n".encode())
        self._taken = max(self._taken, count)
        return self._digest.hexdigest()


def encode_source(source: SoundSource, options: Options) -> list[Outcome]:
    """Decode a file, take spectrograms, encode them; what cannot be read or is doubtful is in the list, too.

    Raises:
        ChangedSource: the file is not the one that was listed, which the inputs' hash is of.
    """
    outcomes: list[Outcome] = []
    readers = {"audio": _spectrograms_of_audio, "tfrecord": _log_mels_of_records, "images": _image}
    read = readers[options.inputs]
    try:
        for clip_id, found in read(source, options):
            if isinstance(found, str):
                outcomes.append(Remark(clip_id, found))
            elif isinstance(found, ValueError):
                outcomes.append(Unreadable(clip_id, first_line(found)))
            else:
                outcomes.append(_encoded(clip_id, found))
    except Exception as error:
        # Whatever a decoder makes of one broken file among millions, the others shall be prepared.
        reason = str(error).removeprefix(f"{printable(source.path)}: ") or type(error).__name__
        outcomes.append(Unreadable(source.id, printable(" ".join(reason.split()))))
    _check_unchanged(source)
    return outcomes


def _encoded(clip_id: str, spectrogram: Float[np.ndarray, "frames bands"]) -> Outcome:
    try:
        return encode_clip(clip_id, spectrogram)
    except UserError as error:
        return Unreadable(clip_id, str(error))


def _check_unchanged(source: SoundSource) -> None:
    try:
        status = source.path.stat()
        if (status.st_size, status.st_mtime_ns) == (source.size, source.modified_ns):
            return
    except OSError:
        pass
    raise ChangedSource(
        f"{printable(source.path)}: was changed while the data were prepared; run the same command again "
        "when it is complete (into a new folder, if shards before it are finished)."
    )


def _spectrograms_of_audio(
    source: SoundSource, options: Options
) -> Iterator[tuple[str, Float[np.ndarray, "frames bands"] | str]]:
    sound = read_sound(source.path, SAMPLE_RATE)
    for remark in sound.remarks:
        yield source.id, remark
    pieces, spectrogram = cut(sound.samples, options.clip_seconds), FRONT_ENDS[options.front_end]
    for number, piece in enumerate(pieces):
        yield f"{source.id}#{number}" if len(pieces) > 1 else source.id, spectrogram(piece)


def cut(audio: Float[np.ndarray, " samples"], clip_seconds: float) -> list[Float[np.ndarray, " piece"]]:
    """Cut a waveform into the fewest equal pieces (to a sample) of at most `clip_seconds` + 2 %."""
    count = max(1, math.ceil(len(audio) / (clip_seconds * SAMPLE_RATE) - GRACE))
    bounds = [len(audio) * number // count for number in range(count + 1)]
    return [audio[start:stop] for start, stop in pairwise(bounds)]


def _log_mels_of_records(
    source: SoundSource, _: Options
) -> Iterator[tuple[str, Float[np.ndarray, "frames bands"] | ValueError]]:
    for number, spectrogram in enumerate(read_log_mels(source.path)):
        yield f"{source.id}#{number}", spectrogram


def _image(source: SoundSource, _: Options) -> Iterator[tuple[str, Float[np.ndarray, "rows columns"]]]:
    from hear_mwmae.pretrain.data.images import read_image

    yield source.id, read_image(source.path)
