"""Whether what was read from a file of JSON has the shape that its reader relies on."""

from collections.abc import Mapping, Sequence
from typing import Any

_WORDS = {str: "a text", int: "an integer", float: "a number", bool: "true or false", type(None): "null"}

ANY_NUMBER = (float, "inf", "-inf", "nan")
"""The shape of a number in a file of strict JSON, which has the infinite ones as text."""


def misfit(value: Any, shape: Any, name: str = "") -> str:
    """Return where a value has another shape, as words that go on a sentence; "" where it has not.

    A shape is `str`, `int`, `float` (an integer fits too), `bool`, `None` or `object` for anything; a text
    for itself; a tuple of shapes of which one must fit; `[shape]` for a list; `{str: shape}` for an object
    with any names; `{"name": shape, "name?": shape}` for one that must have all but those with "?".
    """
    if isinstance(shape, tuple):
        tried = [misfit(value, one, name) for one in shape]
        return "" if "" in tried else tried[0]
    if isinstance(shape, list):
        return _list(value, shape[0], name)
    if isinstance(shape, Mapping):
        return _object(value, shape, name)
    if isinstance(shape, str):
        return "" if value == shape else f"{name or 'it'} is not {shape}"
    kind = type(None) if shape is None else shape
    if kind is object or type(value) is kind or (kind is float and type(value) is int):
        return ""
    return f"{name or 'it'} is not {_WORDS[kind]}"


def _list(value: Any, shape: Any, name: str) -> str:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return f"{name or 'it'} is not a list"
    return next(filter(None, (misfit(item, shape, f"{name}[{i}]") for i, item in enumerate(value))), "")


def _object(value: Any, shape: Mapping, name: str) -> str:
    if not isinstance(value, Mapping):
        return f"{name or 'it'} is not an object"
    start = f"{name}." if name else ""
    if str in shape:
        return next(
            filter(None, (misfit(item, shape[str], f"{start}{key}") for key, item in value.items())), ""
        )
    for key, inner in shape.items():
        plain = key.removesuffix("?")
        if plain not in value:
            if plain == key:
                return f"{start}{plain} is missing"
        elif found := misfit(value[plain], inner, f"{start}{plain}"):
            return found
    return ""
