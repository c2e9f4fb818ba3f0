"""ImageNet's folders: train/WNID/*.JPEG and val/WNID/*.JPEG; the validation set is what is tested."""

from pathlib import Path

from hear_mwmae.errors import UserError
from hear_mwmae.names import printable
from hear_mwmae.pretrain.data.images import IMAGE_SUFFIXES
from hear_mwmae.supervised.data.layouts.listing import (
    TEST,
    TRAINING,
    Entry,
    Listing,
    is_hidden,
    names_below,
    own_classes,
)


def recognises(path: Path) -> bool:
    """Tell whether there are the two folders."""
    return (path / "train").is_dir() and (path / "val").is_dir()


def read(directory: Path, sound: Path | None, subset: str) -> Listing:
    """List the pictures; the classes are the folders' names, in order.

    Raises:
        UserError: pictures that are in no class's folder.
    """
    entries: list[Entry] = []
    for folder, part in (("train", TRAINING), ("val", TEST)):
        for name in sorted(names_below(directory / folder, IMAGE_SUFFIXES)):
            if "/" not in name:
                raise UserError(
                    f"{printable(directory / folder)}: the picture {printable(name)} is in no folder of a "
                    f"class; sort the pictures into {folder}/CLASS/."
                )
            path = directory / folder / name
            entries.append(Entry(f"{folder}/{name}", path, (name.split("/")[0],), part, path))
    folders = {
        inner.name
        for folder in ("train", "val")
        for inner in (directory / folder).iterdir()
        if inner.is_dir() and not is_hidden(inner.name)
    }
    return Listing("imagenet", tuple(entries), classes=own_classes(sorted(folders)))
