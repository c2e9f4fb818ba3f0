"""Whether what was read from a file of JSON has the shape that its reader relies on."""

from typing import Any

_WORDS = {str: "a text", int: "an integer", float: "a number", bool: "true or false", type(None): "null"}

ANY_NUMBER = (float, "inf", "-inf", "nan")
"""The shape of a number in a file of strict JSON, which has the infinite ones as text."""


def json_misfit(value: Any, shape: Any, name: str = "") -> str:
    """Return where a value has another shape, as words that go on a sentence; "" where it has not.

    A shape is `str`, `int`, `float` (an integer fits too), `bool`, `None` or `object` for anything; a text
    for itself; a tuple of shapes of which one must fit; `[shape]` for a list; `{str: shape}` for an object
    with any names; `{"name": shape, "name?": shape}` for one that must have all but those with "?".
    """
    if type(value) is shape or shape is object or (shape is None and value is None):
        return ""  # most values, soon
    if isinstance(shape, tuple):
        first = json_misfit(value, shape[0], name)
        return "" if not first or any(not json_misfit(value, one, name) for one in shape[1:]) else first
    if isinstance(shape, list):
        return _list_misfit(value, shape[0], name)
    if isinstance(shape, dict):
        return _object_misfit(value, shape, name)
    if (value == shape and isinstance(shape, str)) or (shape is float and type(value) is int):
        return ""
    return f"{name or 'it'} is not {shape if isinstance(shape, str) else _WORDS[shape or type(None)]}"


def _list_misfit(value: Any, shape: Any, name: str) -> str:
    if not isinstance(value, list):
        return f"{name or 'it'} is not a list"
    return next(filter(None, (json_misfit(item, shape, f"{name}[{i}]") for i, item in enumerate(value))), "")


def _object_misfit(value: Any, shape: dict, name: str) -> str:
    if not isinstance(value, dict):
        return f"{name or 'it'} is not an object"
    start = f"{name}." if name else ""
    if str in shape:
        misfits = (json_misfit(item, shape[str], f"{start}{key}") for key, item in value.items())
        return next(filter(None, misfits), "")
    for key, inner in shape.items():
        plain = key.removesuffix("?")
        if plain not in value:
            if plain == key:
                return f"{start}{plain} is missing"
        elif found := json_misfit(value[plain], inner, f"{start}{plain}"):
            return found
    return ""
