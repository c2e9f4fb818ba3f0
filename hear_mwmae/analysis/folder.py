"""The folder that a command writes: sounds, pictures and a page that shows them, all beside each other."""

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
from jaxtyping import Float

from hear_mwmae.analysis.front_ends import SAMPLE_RATE
from hear_mwmae.errors import UserError, first_line
from hear_mwmae.files import replacing
from hear_mwmae.names import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "index.html"
LONGEST_NAME = 60


class OutputFolder:
    """Where a command writes; it is made when the first file is written.

    Raises:
        UserError: it is no folder, here, or cannot be written, later.
    """

    def __init__(self, path: Path) -> None:
        if path.exists() and not path.is_dir():
            raise UserError(f"{printable(path)}: is a file; name a folder with --out.")
        self.path = path
        self._taken: set[str] = set()

    def name_for(self, source: Path) -> str:
        """Return a name for the files made of one sound: plain letters of its own name, and never twice."""
        plain = re.sub(r"[^A-Za-z0-9._-]+", "_", source.stem)[:LONGEST_NAME].strip("._-") or "sound"
        name, number = plain, 1
        while name.lower() in self._taken:
            number += 1
            name = f"{plain}-{number}"
        self._taken.add(name.lower())
        return name

    def write_sound(self, name: str, sound: Float[np.ndarray, " samples"]) -> str:
        """Write a WAV file of 16 bits; what exceeds [-1, 1] is clipped."""
        content = io.BytesIO()
        soundfile.write(content, np.clip(sound, -1, 1), SAMPLE_RATE, format="WAV", subtype="PCM_16")
        return self._write(f"{name}.wav", content.getvalue())

    def write_picture(self, name: str, figure: "Figure") -> str:
        """Write a PNG file."""
        content = io.BytesIO()
        figure.savefig(content, format="png")
        return self._write(f"{name}.png", content.getvalue())

    def write_page(self, html: str) -> Path:
        """Write the page."""
        self._write(PAGE, html.encode())
        return self.path / PAGE

    def _write(self, name: str, content: bytes) -> str:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with replacing(self.path / name) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            raise UserError(
                f"{printable(self.path / name)}: cannot be written ({first_line(error)})."
            ) from None
        return name
