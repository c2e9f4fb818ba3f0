"""Where the weights of other people's models lie on this machine; nothing is fetched here.

None of these files has a published checksum; what does not fit the model tensor by tensor is refused.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from evaluation.errors import EvaluationError
from evaluation.files import cache_directory

WEIGHTS_VARIABLE = "HEAR_MWMAE_WEIGHTS"


@dataclass(frozen=True)
class ReleasedFile:
    """One file of weights as its authors released it.

    `remedy` ends the sentence on a missing file: where it comes from ("download it from ...").
    """

    name: str
    remedy: str

    def locate(self) -> Path | None:
        """Return the file in $HEAR_MWMAE_WEIGHTS or in the cache's folder `weights`; None if in neither."""
        return next((path for folder in folders() if (path := folder / self.name).is_file()), None)

    def find(self, given: str = "") -> Path:
        """Return the file or the one in the folder given, else the file located; EvaluationError if none."""
        if given:
            return self._given(Path(given).expanduser())
        path = self.locate()
        if path is None:
            raise EvaluationError(
                f"there is no {self.name} in {' or '.join(map(str, folders()))}: {self.remedy}, "
                f"and put it there, into the folder ${WEIGHTS_VARIABLE}, or name its path"
            )
        return path

    def _given(self, path: Path) -> Path:
        path = path / self.name if path.is_dir() else path
        if not path.is_file():
            raise EvaluationError(f"there is no file {path}: correct the path, or {self.remedy}")
        return path


def folders() -> list[Path]:
    """Return the folders that are searched for weights, the first one first.

    Raises EvaluationError: $HEAR_MWMAE_WEIGHTS is not a folder.
    """
    cached = cache_directory() / "weights"
    if not (chosen := os.environ.get(WEIGHTS_VARIABLE)):
        return [cached]
    if not Path(chosen).expanduser().is_dir():
        raise EvaluationError(f"${WEIGHTS_VARIABLE} = {chosen} is not a folder; correct or unset it")
    return [Path(chosen).expanduser(), cached]
