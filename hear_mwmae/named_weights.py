"""Where the weights of a named model are looked for; nothing of them is read here."""

import os
from pathlib import Path

from platformdirs import user_cache_path

from hear_mwmae.config import WEIGHTS_VARIABLE
from hear_mwmae.errors import UserError


def user_cache() -> Path:
    """Folder for weights that serve every project of a user; $HEAR_MWMAE_CACHE moves it."""
    if chosen := os.environ.get("HEAR_MWMAE_CACHE"):
        return Path(os.path.expanduser(chosen)) / "weights"
    return user_cache_path("hear-mwmae", appauthor=False) / "weights"


def find_weights(name: str) -> Path | None:
    """Find `<name>.safetensors` in $HEAR_MWMAE_WEIGHTS, then in the package, then in the user's cache.

    Raises:
        UserError: $HEAR_MWMAE_WEIGHTS is set but is not a folder.
    """
    folders = [Path(__file__).parent / "data", user_cache()]
    if os.environ.get(WEIGHTS_VARIABLE):
        folders.insert(0, Path(os.environ[WEIGHTS_VARIABLE]))
        if not folders[0].is_dir():
            raise UserError(
                f"{folders[0]}: ${WEIGHTS_VARIABLE} must be a folder that holds files like "
                f"{name}.safetensors; correct or unset it."
            )
    candidates = (folder / f"{name}.safetensors" for folder in folders)
    return next((path for path in candidates if os.path.isfile(path)), None)
