"""The files of an embeddings tree of the original benchmark's program (heareval 2021): names and reading.

`embeddings/<model>/<task>/` holds `task_metadata.json`, `labelvocabulary.csv` and for every split
`<split>.json`, `<split>.embedding-dimensions.json` ([rows, dim]), `<split>.embeddings.npy` (despite its name
raw little-endian float32, no header) and `<split>.target-labels.pkl` (a pickled list of each row's labels);
of a task of events also `<split>.filename-timestamps.json` (file and time in ms of each row).
"""

import io
import pickle
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from jaxtyping import Float

from evaluation.errors import EvaluationError
from evaluation.shapes import json_misfit
from tasks import TaskError, TaskMetadata
from tasks.json_files import read_json

METADATA = "task_metadata.json"
VOCABULARY = "labelvocabulary.csv"
ROWS_AT_ONCE = 4096
"""Rows in memory while copying: 63 MB of 3,840 floats."""

Label = str | int | float
LARGEST_LABEL = 10**300
"""Of a label that is a number."""
MOST_JSON = 1 << 30
"""Bytes of the largest JSON of a tree, which names the clip of every frame."""


def dimensions_in_tree(split: str) -> str:
    """Name of the file that holds [rows, dim] of a split."""
    return f"{split}.embedding-dimensions.json"


def embeddings_in_tree(split: str) -> str:
    """Name of the file that holds a split's embeddings, raw float32."""
    return f"{split}.embeddings.npy"


def labels_in_tree(split: str) -> str:
    """Name of the file that holds a split's pickled labels."""
    return f"{split}.target-labels.pkl"


def frames_in_tree(split: str) -> str:
    """Name of the file that holds clip and time of every row of a task of events."""
    return f"{split}.filename-timestamps.json"


def tree_files(metadata: TaskMetadata) -> list[str]:
    """Return the names of all files that make one task's tree."""
    names = [METADATA, VOCABULARY]
    for split in metadata.splits:
        names += [
            f"{split}.json",
            dimensions_in_tree(split),
            embeddings_in_tree(split),
            labels_in_tree(split),
        ]
        if metadata.embedding_type == "event":
            names.append(frames_in_tree(split))
    return names


def find_trees(directory: Path) -> list[Path]:
    """Return the task folders: `directory` itself, else those in it, else those two levels below it.

    Raises EvaluationError when there is none.
    """
    directory = Path(directory).resolve()
    for pattern in (METADATA, f"*/{METADATA}", f"*/*/{METADATA}"):
        folders = sorted(file.parent for file in directory.glob(pattern))
        if found := [folder for folder in folders if any(folder.glob(dimensions_in_tree("*")))]:
            return found
    raise EvaluationError(
        f"{directory} holds no embeddings tree: there is no {METADATA} beside "
        f"{dimensions_in_tree('<split>')} in it or up to two levels below; give the folder of a task, of a "
        "model or of all models"
    )


def read_embeddings(folder: Path, split: str) -> Float[np.ndarray, "rows dim"]:
    """Return a read-only memory map of a split's embeddings, in the tree's order.

    Raises EvaluationError, naming the file, when it or its dimensions are missing, or they do not agree.
    """
    file = folder / dimensions_in_tree(split)
    content = read_tree_json(file, "[rows, dimensions]")
    if json_misfit(content, [object]) or len(content) != 2:
        raise EvaluationError(f"{file} must hold [rows, dimensions]; copy or embed the task again")
    rows, dim = content
    if not all(type(number) is int and number > 0 for number in content):
        raise EvaluationError(f"{file} holds [{rows}, {dim}] where two numbers above 0 belong; embed again")
    data = folder / embeddings_in_tree(split)
    if not data.is_file():
        raise EvaluationError(f"{data} is missing; copy the whole tree")
    if data.stat().st_size != 4 * rows * dim:
        raise EvaluationError(
            f"{data} has {data.stat().st_size} bytes where {rows} x {dim} float32 numbers need "
            f"{4 * rows * dim}; it is not whole: copy or embed the task again"
        )
    return np.memmap(data, "<f4", "r", shape=(rows, dim))


def read_frame_index(file: Path) -> tuple[list[str], Float[np.ndarray, " rows"]]:
    """Return name of the clip (without the folders of where it was embedded) and time in ms of every row.

    Raises EvaluationError, naming the file, when it holds anything else.
    """
    rows = read_tree_json(file, "pairs of file name and ms")
    try:
        names = [PureWindowsPath(name).name for name, _ in rows]  # splits at / and at \
        times = np.array([float(time) for _, time in rows])
    except (ValueError, TypeError) as error:
        raise EvaluationError(f"{file} must hold pairs of file name and ms; embed the task again") from error
    return names, times


def read_tree_json(file: Path, what: str = "JSON", *, finite: bool = True) -> Any:
    """Read a JSON file of a tree that should hold `what`; NaN and Infinity are read unless `finite`.

    Raises EvaluationError, naming the file, when it is missing or damaged.
    """
    try:
        return read_json(file, max_bytes=MOST_JSON, finite=finite)
    except OSError as error:
        raise EvaluationError(f"{file} cannot be read ({error.strerror}); copy the whole tree") from error
    except TaskError as error:
        raise EvaluationError(f"{file} must hold {what}: {error}") from error


def read_label_lists(file: Path) -> list[list[Label]]:
    """Read a pickled list of lists of labels (str, int or float); anything else is refused, never run.

    Raises EvaluationError, naming the file, for what is not such a list.
    """
    pickled = _bytes_of_tree_file(file)
    try:
        content = _PlainUnpickler(io.BytesIO(pickled)).load()
    except _NotPlain as error:
        raise EvaluationError(
            f"{file} asks for {error} on reading, where only lists of labels belong; nothing of it was run: "
            "do not trust this file"
        ) from error
    except Exception as error:  # a damaged pickle may raise anything
        raise EvaluationError(f"{file} is not a pickled list of labels; copy the tree again") from error
    if type(content) is not list or not all(type(labels) is list for labels in content):
        raise EvaluationError(f"{file} must hold a list of lists of labels; embed the task again")
    for label in (label for labels in content for label in labels):
        if type(label) not in (str, int, float):
            raise EvaluationError(
                f"{file} holds a label of type {type(label).__name__}; only text and numbers are admitted"
            )
        if not isinstance(label, str) and not abs(label) < LARGEST_LABEL:
            raise EvaluationError(f"{file} holds a label that is too large a number, or none at all")
    return content


def _bytes_of_tree_file(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise EvaluationError(f"{file} cannot be read ({error.strerror}); copy the whole tree") from error


class _NotPlain(pickle.UnpicklingError):
    """The pickle names a class, a function or an object elsewhere."""


class _PlainUnpickler(pickle.Unpickler):
    """An unpickler that knows no names, so that nothing can be imported or called."""

    def find_class(self, module: str, name: str) -> Any:
        raise _NotPlain(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise _NotPlain("an object elsewhere")
