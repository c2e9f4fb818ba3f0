"""Pictures as pre-training takes them (paper appendix D, which gives no sizes: these are this project's).

A picture of 224 x 224 pixels is handled like a spectrogram: 224 rows of 672 numbers, red, green and blue of
each column side by side.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageOps

from hear_mwmae.errors import UserError

FRONT_END = "rgb_224"
SIDE = 224
COLUMNS = 3 * SIDE
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


def find_images(root: Path) -> list[Path]:
    """Return a file as it is given, or the pictures in a folder at any depth.

    Raises:
        UserError: a path that does not exist, or a folder without pictures.
    """
    if root.is_file():
        return [root]
    files = [path for path in root.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    if not files:
        what = "holds no pictures" if root.is_dir() else "there is no such file or folder"
        raise UserError(f"{root}: {what}; correct the path.")
    return files


def read_image(path: Path) -> Float[np.ndarray, "rows columns"]:
    """Decode a picture, scale its shorter side to 224 pixels, cut out the centre; values are 0 to 1.

    Raises:
        UserError: a file that cannot be decoded.
    """
    try:
        with Image.open(path) as image:
            square = ImageOps.fit(image.convert("RGB"), (SIDE, SIDE), Image.Resampling.BICUBIC)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: cannot be decoded as a picture ({error}).") from None
    return (np.asarray(square, np.float32) / 255).reshape(SIDE, COLUMNS)
