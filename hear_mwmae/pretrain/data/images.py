"""Pictures as pre-training takes them (paper appendix D, which gives no sizes: these are this project's).

A picture of 224 x 224 pixels is handled like a spectrogram: 224 rows of 672 numbers, red, green and blue of
each column side by side.
"""

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageOps

from hear_mwmae.errors import UserError, first_line
from hear_mwmae.files import files_below
from hear_mwmae.names import printable

FRONT_END = "rgb_224"
SIDE = 224
COLUMNS = 3 * SIDE
# A few bytes can stand for a picture that fills the memory.
MOST_PIXELS = 100_000_000
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


def find_images(root: Path) -> list[Path]:
    """Return a file as it is given, or the pictures in a folder at any depth.

    Raises:
        UserError: a path that does not exist, or a folder without pictures.
    """
    if root.is_file():
        return [root]
    files = files_below(root, IMAGE_SUFFIXES) if root.is_dir() else []
    if not files:
        what = "holds no pictures" if root.is_dir() else "there is no such file or folder"
        raise UserError(f"{printable(root)}: {what}; correct the path.")
    return files


def read_image(path: Path) -> Float[np.ndarray, "rows columns"]:
    """Decode a picture, scale its shorter side to 224 pixels, cut out the centre; values are 0 to 1.

    Raises:
        UserError: a file that cannot be decoded, or has more than `MOST_PIXELS`.
    """
    name = printable(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # The bound here is a clear one.
            with Image.open(path) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise UserError(
                        f"{name}: has {image.width} x {image.height} pixels, and {MOST_PIXELS} are read at "
                        "most; make it smaller."
                    )
                square = ImageOps.fit(_in_colour(image, name), (SIDE, SIDE), Image.Resampling.BICUBIC)
    except Image.DecompressionBombError:
        raise UserError(f"{name}: has more than {MOST_PIXELS} pixels, the most that is read.") from None
    except UserError:
        raise
    # Whatever a decoder makes of a broken file.
    except Exception as error:
        raise UserError(f"{name}: cannot be decoded as a picture ({first_line(error)}).") from None
    return (np.asarray(square, np.float32) / 255).reshape(SIDE, COLUMNS)


def _in_colour(image: Image.Image, name: str) -> Image.Image:
    """Red, green and blue of 8 bits; greys of 16 bits are scaled, which Pillow would cut off at 255."""
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if image.mode != "I" or values.max(initial=0) > 255:
            image = Image.fromarray((values.clip(0, 65535) / 257).round().astype(np.uint8))
    elif image.mode == "F":
        raise UserError(f"{name}: has floating-point pixels; save it with 8 or 16 bits.")
    return image.convert("RGB")
