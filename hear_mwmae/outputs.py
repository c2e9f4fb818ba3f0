"""Writes embeddings of many files into one `.npz` or `.parquet`, which appears only when it is complete."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from hear_mwmae.errors import UserError, first_line
from hear_mwmae.names import printable


class Output(ABC):
    """A context that collects rows and puts the file in place at its end; after an error nothing is left.

    Args:
        path: the file to write; it replaces one of that name.
        about: what the embeddings are, kept in the file.

    """

    def __init__(self, path: Path, about: Mapping[str, str]) -> None:
        self.path = path
        self.about = dict(about)
        self.temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")

    @abstractmethod
    def add(
        self, file: str, embeddings: Float[np.ndarray, "rows size"], times: Float[np.ndarray, " rows"] | None
    ) -> None:
        """Add a file's rows: one for its scene (no times), or one per time in ms."""

    @abstractmethod
    def _finish(self) -> None:
        """Complete the temporary file."""

    def __enter__(self) -> "Output":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
                self.temporary.replace(self.path)
        except OSError as problem:
            raise UserError(f"{printable(self.path)}: cannot be written ({first_line(problem)}).") from None
        finally:
            self.temporary.unlink(missing_ok=True)


class NpzOutput(Output):
    """Arrays `files` [files], `embeddings` [rows, size], `file_index` [rows]; with times `times_ms`."""

    def __init__(self, path: Path, about: Mapping[str, str]) -> None:
        super().__init__(path, about)
        self.files: list[str] = []
        self.embeddings: list[np.ndarray] = []
        self.times: list[np.ndarray] = []

    def add(
        self, file: str, embeddings: Float[np.ndarray, "rows size"], times: Float[np.ndarray, " rows"] | None
    ) -> None:
        self.files.append(file)
        self.embeddings.append(embeddings)
        if times is not None:
            self.times.append(times)

    def _finish(self) -> None:
        arrays = {name: np.array(text) for name, text in self.about.items()}
        arrays["files"] = np.array(self.files)
        arrays["embeddings"] = np.concatenate(self.embeddings)
        arrays["file_index"] = np.repeat(np.arange(len(self.files)), [len(rows) for rows in self.embeddings])
        if self.times:
            arrays["times_ms"] = np.concatenate(self.times)
        # No array has the name of one of its parameters.
        save: Callable[..., None] = np.savez
        with self.temporary.open("wb") as stream:
            save(stream, **arrays)


class ParquetOutput(Output):
    """Columns `file`, with times also `time_ms`, and `embedding`; rows go to disk as they come."""

    def __init__(self, path: Path, about: Mapping[str, str]) -> None:
        super().__init__(path, about)
        self.writer: pq.ParquetWriter | None = None

    def add(
        self, file: str, embeddings: Float[np.ndarray, "rows size"], times: Float[np.ndarray, " rows"] | None
    ) -> None:
        columns = {"file": pa.array([file] * len(embeddings))}
        if times is not None:
            columns["time_ms"] = pa.array(times)
        values = pa.array(embeddings.ravel())
        columns["embedding"] = pa.FixedSizeListArray.from_arrays(values, embeddings.shape[1])
        table = pa.table(columns).replace_schema_metadata(self.about)
        try:
            self.writer = self.writer or pq.ParquetWriter(self.temporary, table.schema)
            self.writer.write_table(table)
        except OSError as problem:
            raise UserError(f"{printable(self.path)}: cannot be written ({first_line(problem)}).") from None

    def _finish(self) -> None:
        if self.writer is not None:
            self.writer.close()


OUTPUTS: dict[str, type[Output]] = {".npz": NpzOutput, ".parquet": ParquetOutput}


def check_output(path: Path) -> None:
    """Refuse, before any work, a file that `open_output` could not write.

    Raises:
        UserError: another ending than those of `OUTPUTS`, or a folder that does not exist.
    """
    if path.suffix not in OUTPUTS:
        raise UserError(f"{printable(path)}: the name of the output must end in {' or '.join(OUTPUTS)}.")
    if not path.parent.is_dir():
        raise UserError(f"{printable(path.parent)}: there is no such folder; make it, or write elsewhere.")


def open_output(path: Path, about: Mapping[str, str]) -> Output:
    """Open the kind of file that the name's ending says.

    Raises:
        UserError: as `check_output` does.
    """
    check_output(path)
    return OUTPUTS[path.suffix](path, about)
