"""Many sound files to one file of embeddings: every file is read once before the work starts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from hear_mwmae.audio import measure_sound, read_audio
from hear_mwmae.embedding import EmbeddingModel
from hear_mwmae.errors import UserError, first_line
from hear_mwmae.files import Signature, name_as_text, signature
from hear_mwmae.model_file import unchanged
from hear_mwmae.names import printable
from hear_mwmae.outputs import Output

SECONDS_AT_ONCE = 120.0
"""Sound per call to the model: enough to fill its batches, little enough to keep in memory."""


def torch_device(name: str | None) -> torch.device:
    """Return the device named, by default CUDA where it is; UserError when it cannot be used."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {name}: cannot be used here ({first_line(error)}).") from None
    return device


@dataclass(frozen=True)
class CheckedFile:
    """A file that decodes."""

    seconds: float
    samples: int
    remarks: tuple[str, ...]
    signature: Signature


def checked_files(files: Sequence[Path], sample_rate: int) -> tuple[dict[Path, CheckedFile], list[str]]:
    """Decode every file once; return what is known of the good ones, and a sentence for each bad one."""
    good, bad = {}, []
    for path in tqdm(files, desc="checking", unit="file", leave=False, disable=None):
        try:
            with unchanged(path):
                samples, remarks = measure_sound(path, sample_rate)
                good[path] = CheckedFile(samples / sample_rate, samples, remarks, signature(path))
        except UserError as error:
            bad.append(str(error))
        except OSError as error:
            bad.append(f"{printable(path)}: cannot be read ({error.strerror}).")
    return good, bad


def _read_again(path: Path, known: CheckedFile, sample_rate: int) -> torch.Tensor:
    with unchanged(path):
        samples = read_audio(path, sample_rate)
        now = signature(path)
    if now != known.signature or len(samples) != known.samples:
        raise UserError(
            f"{printable(path)}: was changed since it was checked; run the same command when it is complete."
        )
    return torch.from_numpy(samples)


def _groups(checked: dict[Path, CheckedFile]) -> Iterator[list[Path]]:
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


def embed_files(
    checked: dict[Path, CheckedFile], model: EmbeddingModel, output: Output, *, timestamps: bool
) -> None:
    """Add the embeddings of these files to `output`; UserError when one has changed since it was checked."""
    total = sum(known.seconds for known in checked.values())
    with tqdm(total=total, desc="embedding", unit="s of sound", unit_scale=True, disable=None) as bar:
        for group in _groups(checked):
            clips = [_read_again(path, checked[path], model.sample_rate) for path in group]
            rows: Sequence[torch.Tensor]
            times: Sequence[torch.Tensor | None]
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
