"""JSON of outside origin, within bounds: what a person, another program or a server wrote."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from tasks.errors import TaskError
from tasks.names import printable

MAX_BYTES = 256 << 20
"""Size of a file that is read by default; HEAR's largest split has 8 MB."""
MAX_DEPTH = 64
"""Lists and objects within each other."""
_MAX_DIGITS = 19
_MAX_INTEGER = 2**63


def read_json(
    path: Path | str, *, max_bytes: int = MAX_BYTES, finite: bool = True, surrogates: bool = False
) -> Any:
    """Read a JSON file.

    Raises:
        TaskError: see `parse_json`, and a file that is larger than `max_bytes`.
        OSError: a file that cannot be read.
    """
    with open(path, "rb") as file:
        content = file.read(max_bytes + 1)
    return parse_json(content, str(path), max_bytes=max_bytes, finite=finite, surrogates=surrogates)


def parse_json(
    content: bytes | str,
    name: str,
    *,
    max_bytes: int = MAX_BYTES,
    finite: bool = True,
    surrogates: bool = False,
) -> Any:
    """Read a JSON text; `name` says in messages what it is.

    Args:
        finite: refuse NaN and Infinity, which are no JSON, and numbers too large for a float.
        surrogates: let halves of surrogate pairs pass, with which Python names files whose names are no text.

    Raises:
        TaskError: no JSON, not UTF-8, more than `max_bytes`, more than `MAX_DEPTH` levels, a key twice in one
            object, an integer beyond 64 bits, a text with half a surrogate pair.
    """
    name = printable(name)
    if len(content) > max_bytes:
        raise TaskError(f"{name} has more than {max_bytes} bytes, the most that is read; correct it.")
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        found = json.loads(
            text,
            object_pairs_hook=lambda pairs: _object(pairs, name),
            parse_int=lambda digits: _integer(digits, name),
            parse_float=lambda digits: _number(digits, name, finite),
            parse_constant=lambda word: _number(word, name, finite),
        )
    except UnicodeDecodeError as error:
        raise TaskError(f"{name} is not UTF-8 (byte {error.start}); save it in that encoding.") from None
    except json.JSONDecodeError as error:
        where = f"{error.msg}, line {error.lineno}, column {error.colno}"
        raise TaskError(f"{name} is not JSON ({where}); correct or restore it.") from None
    except RecursionError:
        raise TaskError(_too_deep(name)) from None
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(found, name)
    if not surrogates and "\\ud" in text.lower():
        _check_surrogates(found, name)
    return found


def _object(pairs: list[tuple[str, Any]], name: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise TaskError(f"{name} names {printable(twice)!r} twice; keep one of them.")
    return found


def _integer(digits: str, name: str) -> int:
    if len(digits) > _MAX_DIGITS + 1 or not -_MAX_INTEGER <= int(digits) < _MAX_INTEGER:
        raise TaskError(f"{name} holds an integer beyond 64 bits ({digits[:24]}...); correct it.")
    return int(digits)


def _number(digits: str, name: str, finite: bool) -> float:
    number = float(digits)
    if finite and not abs(number) < float("inf"):
        raise TaskError(f"{name} holds {digits[:24]}, which is no finite number; correct it.")
    return number


def _check_depth(found: Any, name: str) -> None:
    level = [found]
    for _ in range(MAX_DEPTH):
        inner = [list(one.values()) if isinstance(one, dict) else one for one in level]
        level = [
            item
            for items in inner
            if isinstance(items, list)
            for item in items
            if isinstance(item, list | dict)
        ]
        if not level:
            return
    raise TaskError(_too_deep(name))


def _too_deep(name: str) -> str:
    return f"{name} is nested more than {MAX_DEPTH} levels deep; correct or restore it."


def _check_surrogates(found: Any, name: str) -> None:
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise TaskError(
            f"{name} holds half a surrogate pair (\\ud...), which is no text; correct it."
        ) from None
