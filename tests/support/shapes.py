"""Shapes of arrays, as jaxtyping states them in signatures, checked by beartype at every call."""

from collections.abc import Callable
from typing import Any, TypeVar, get_args

from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray

Function = TypeVar("Function", bound=Callable)
_check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def shapes_checked(function: Function) -> Function:
    """Check what of a signature speaks of arrays; mypy reads the rest, for which tests have stand-ins."""
    own = {name: hint for name, hint in function.__annotations__.items() if _is_of_arrays(hint)}
    if not own:
        return function
    function.__annotations__ = own
    return _check(function)


def _is_of_arrays(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(_is_of_arrays(part) for part in get_args(hint))
