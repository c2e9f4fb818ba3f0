"""Embeddings trees of the original benchmark's program (heareval 2021), read as they stand.

`embeddings/<model>/<task>/` holds `task_metadata.json`, `labelvocabulary.csv` and for every split
`<split>.json`, `<split>.embedding-dimensions.json` ([rows, dim]), `<split>.embeddings.npy` (despite its name
raw little-endian float32, no header) and `<split>.target-labels.pkl` (a pickled list of label lists). Rows
are the clips of `<split>.json` in the order of `protocol.row_orders`. On import they go back to the order of
the JSON, into the store, and are from then on embeddings like any others.
"""

import hashlib
import io
import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from evaluation.errors import EvaluationError
from evaluation.protocol import row_orders
from evaluation.store import StoreEntry
from tasks import Task, TaskMetadata, read_labels

METADATA = "task_metadata.json"
VOCABULARY = "labelvocabulary.csv"
ROWS_PER_READ = 4096
"""Rows in memory at once: 63 MB of 3,840 floats."""

Label = str | int | float


@dataclass(frozen=True)
class Imported:
    """One task's embeddings from a tree, in the store; `model` is the name of the folder above the task's."""

    model: str
    task: Task
    entry: StoreEntry


def dimensions_file(split: str) -> str:
    """Name of the file that holds [rows, dim] of a split."""
    return f"{split}.embedding-dimensions.json"


def embeddings_file(split: str) -> str:
    """Name of the file that holds a split's embeddings, raw float32."""
    return f"{split}.embeddings.npy"


def labels_file(split: str) -> str:
    """Name of the file that holds a split's pickled labels."""
    return f"{split}.target-labels.pkl"


def tree_files(metadata: TaskMetadata) -> list[str]:
    """Return the names of all files that make one task's tree."""
    names = [METADATA, VOCABULARY]
    for split in metadata.splits:
        names += [f"{split}.json", dimensions_file(split), embeddings_file(split), labels_file(split)]
    return names


def import_tree(directory: Path, cache: Path) -> list[Imported]:
    """Bring every task folder at, in, or two levels below `directory` into the store below `cache`.

    What the store has already is checked but not written again. Raises EvaluationError or TaskError, naming
    the file, when nothing is found, or something is missing, damaged or does not belong together.
    """
    folders = find_trees(directory)
    bar = tqdm(folders, desc="import", unit="task", leave=False, delay=1, disable=None)
    imported = [_import_task(folder, cache / "embeddings") for folder in bar]
    first: dict[str, Task] = {}
    for task in (item.task for item in imported):
        known = first.setdefault(task.name, task)
        if (known.vocabulary, known.clips) != (task.vocabulary, task.clips):
            raise EvaluationError(
                f"{known.path} and {task.path} have one name but other clips or labels; "
                "import them one by one"
            )
    return imported


def find_trees(directory: Path) -> list[Path]:
    """Return the task folders: `directory` itself, else those in it, else those two levels below it.

    Raises EvaluationError when there is none.
    """
    directory = Path(directory).resolve()
    for pattern in (METADATA, f"*/{METADATA}", f"*/*/{METADATA}"):
        folders = sorted(file.parent for file in directory.glob(pattern))
        if found := [folder for folder in folders if any(folder.glob(dimensions_file("*")))]:
            return found
    raise EvaluationError(
        f"{directory} holds no embeddings tree: there is no {METADATA} beside {dimensions_file('<split>')} "
        "in it or up to two levels below; give the folder of a task, of a model or of all models"
    )


def _import_task(folder: Path, store: Path) -> Imported:
    """Check one task folder and write its embeddings into the store where they are missing."""
    task = read_labels(folder)
    if task.metadata.embedding_type != "scene":
        raise EvaluationError(f"{folder} is a timestamp task; only trees of scene tasks can be imported yet")
    splits = task.metadata.splits
    shapes = {split: _shape(folder, split) for split in splits}
    dims = {dim for _, dim in shapes.values()}
    if len(dims) > 1:
        raise EvaluationError(
            f"{folder}: its splits have embeddings of {sorted(dims)} dimensions; embed again"
        )
    orders = row_orders({split: len(task.clips[split]) for split in splits})
    for split, order in orders.items():
        _check_rows(folder, task, split, order, shapes[split][0])
    entry = StoreEntry(store, _identity(folder, task, dims.pop()))
    with entry.writing():
        for split, order in orders.items():
            if not entry.has(split, *shapes[split]):
                _write(entry, folder, split, order, shapes[split])
    return Imported(folder.parent.name, task, entry)


def _identity(folder: Path, task: Task, dim: int) -> dict[str, Any]:
    """Return what the entry's values depend on: the content of the files, no model and no sound."""
    digest = hashlib.sha256()
    for name in tree_files(task.metadata):
        with open(folder / name, "rb") as file:
            digest.update(f"{name}\n".encode() + hashlib.file_digest(file, "sha256").digest())
    return {
        "heareval_tree": folder.parent.name,
        "content": digest.hexdigest(),
        "task": task.name,
        "source_rate": None,
        "sample_rate": None,
        "embedding": task.metadata.embedding_type,
        "dim": dim,
        "dtype": "float32",
    }


def _shape(folder: Path, split: str) -> tuple[int, int]:
    """Return rows and dimensions of a split; its embeddings file must have just that size."""
    file = folder / dimensions_file(split)
    try:
        rows, dim = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise EvaluationError(f"{file} cannot be read ({error.strerror}); copy the whole tree") from error
    except (ValueError, TypeError) as error:
        raise EvaluationError(f"{file} must hold [rows, dimensions]; copy or embed the task again") from error
    if not all(type(number) is int and number > 0 for number in (rows, dim)):
        raise EvaluationError(f"{file} holds [{rows}, {dim}] where two numbers above 0 belong; embed again")
    data = folder / embeddings_file(split)
    if not data.is_file():
        raise EvaluationError(f"{data} is missing; copy the whole tree")
    if data.stat().st_size != 4 * rows * dim:
        raise EvaluationError(
            f"{data} has {data.stat().st_size} bytes where {rows} x {dim} float32 numbers need "
            f"{4 * rows * dim}; it is not whole: copy or embed the task again"
        )
    return rows, dim


def _check_rows(folder: Path, task: Task, split: str, order: Sequence[int], rows: int) -> None:
    """Make sure that row i of the split belongs to clip order[i], by the labels stored beside the rows."""
    if rows != len(order):
        raise EvaluationError(
            f"{folder / dimensions_file(split)} speaks of {rows} rows but {split}.json of {len(order)} "
            "clips; they do not belong together: embed the task again"
        )
    file = folder / labels_file(split)
    stored = [tuple(map(str, labels)) for labels in read_label_lists(file)]
    if stored != [task.clips[split][i].labels for i in order]:
        raise EvaluationError(
            f"{file} does not list the labels of {split}.json in the order in which heareval shuffles them; "
            "the files do not belong together: embed the task again"
        )


def _write(entry: StoreEntry, folder: Path, split: str, order: Sequence[int], shape: tuple[int, int]) -> None:
    """Copy a split into the store in the order of its JSON."""
    file = folder / embeddings_file(split)
    x = np.memmap(file, "<f4", "r", shape=shape)
    row_of_clip = np.argsort(order)
    with entry.writer(split, *shape) as writer:
        for start in range(0, shape[0], ROWS_PER_READ):
            writer.append(_finite(x[row_of_clip[start : start + ROWS_PER_READ]], file))


def _finite(rows: Float[np.ndarray, "rows dim"], file: Path) -> Float[np.ndarray, "rows dim"]:
    if not np.isfinite(rows).all():
        raise EvaluationError(f"{file} has NaN or infinite values, which cannot be trained on; embed again")
    return rows


def read_label_lists(file: Path) -> list[list[Label]]:
    """Read a pickled list of lists of labels (str, int or float); anything else is refused, never run.

    Raises EvaluationError, naming the file, for what is not such a list.
    """
    try:
        content = _PlainUnpickler(io.BytesIO(file.read_bytes())).load()
    except OSError as error:
        raise EvaluationError(f"{file} cannot be read ({error.strerror}); copy the whole tree") from error
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
    return content


class _NotPlain(pickle.UnpicklingError):
    """The pickle names a class, a function or an object elsewhere."""


class _PlainUnpickler(pickle.Unpickler):
    """An unpickler that knows no names, so that nothing can be imported or called."""

    def find_class(self, module: str, name: str) -> Any:
        raise _NotPlain(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise _NotPlain("an object elsewhere")
