"""Names as people see them: what cannot be one, and which two look like one."""

import os
import re
import unicodedata
from collections.abc import Iterable

_MAX_NAME_BYTES = 255
_MAX_LABEL = 1000
_UNSEEN = re.compile("[\u034f\u115f\u1160\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""What has no width beside the characters of category Cf: joiners, fillers, variation selectors."""
_LATIN = str.maketrans("аеорсухіјѕԁһԛԝвкмнтο", "aeopcyxijsdhqwbkmhto")
"""Cyrillic letters, and one Greek, that look like Latin ones in small or in capital letters."""


def name_fault(name: str) -> str | None:
    """Why `name` cannot be that of a clip or a split, as the end of a sentence; None when it can."""
    if name in ("", ".", "..") or "/" in name or "\\" in name:
        return "is not a plain file name, without slashes"
    if name.startswith("."):
        return "begins with a dot, as hidden files do"
    if text_fault(name):
        return text_fault(name)
    if len(name.encode()) > _MAX_NAME_BYTES:
        return f"is longer than {_MAX_NAME_BYTES} bytes"
    try:
        os.fsencode(name)
    except UnicodeEncodeError as error:
        return f"cannot be written in {error.encoding}, the encoding of this system's file names"
    return None


def text_fault(text: str, longest: int = _MAX_LABEL) -> str | None:
    """Why `text` cannot be a label or a name, as the end of a sentence; None when it can."""
    kinds = {unicodedata.category(character) for character in text} if not text.isalnum() else set()
    if "Cs" in kinds:
        return "has bytes that are no text in this system's encoding"
    if kinds & {"Cc", "Zl", "Zp"}:
        return "has control characters or line ends"
    if not text.strip():
        return "is empty"
    return f"is longer than {longest} characters" if len(text) > longest else None


def spelling(name: str) -> str:
    """The same text for names that differ only in their Unicode form, in spaces, or in what is invisible."""
    if name.isascii():
        return " ".join(name.split())
    seen = "".join(c for c in _UNSEEN.sub("", name) if unicodedata.category(c) != "Cf")
    return " ".join(unicodedata.normalize("NFC", seen).split())


def look(name: str) -> str:
    """The same text for names that look alike: also in another case, width or alphabet."""
    if name.isascii():
        return spelling(name).casefold()
    wide = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return spelling(wide).translate(_LATIN)


def look_alikes(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of different names that look alike: each with the first that looks so, in their order."""
    first: dict[str, str] = {}
    pairs = []
    for name in dict.fromkeys(names):
        other = first.setdefault(look(name), name)
        if other != name:
            pairs.append((other, name))
    return pairs
