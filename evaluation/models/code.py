"""What functions do that stand in no file, those of a notebook, as one hash."""

import hashlib
import inspect
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

_PLAIN = (int, float, complex, str, bytes, bool, type(None))
_WRAPPED = (MethodType, staticmethod, classmethod)
_CODE = (FunctionType, type, *_WRAPPED, property)


def functions_of(module: ModuleType) -> list[Any]:
    """Return the functions that a module has, in the order of their names."""
    return [value for _, value in sorted(vars(module).items()) if callable(value)]


def code_digest(functions: Iterable[Any]) -> str:
    """Return the SHA-256 (hex) of what these functions do, and of what they name of their own module.

    It is of Python's instructions, so that comments do not count; plain values that the functions name do.
    Other modules that they call are not looked into.
    """
    digest, seen = hashlib.sha256(), set()
    waiting = list(functions)
    while waiting:
        one = waiting.pop(0)
        one = inspect.unwrap(one.__func__ if isinstance(one, _WRAPPED) else one)
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, FunctionType):
            for code in _nested_code(one.__code__):
                digest.update(
                    code.co_code + _text_of_value([code.co_names, code.co_varnames, *_code_constants(code)])
                )
            plain, called = _named_values_of_code(one)
            digest.update(_text_of_value(plain))
            waiting += called
        elif isinstance(one, property):
            waiting += [function for function in (one.fget, one.fset) if function]
        elif isinstance(one, type):
            waiting += [member for _, member in sorted(vars(one).items()) if isinstance(member, _CODE)]
            waiting += [base for base in one.__bases__ if base.__module__ == one.__module__]
        else:
            waiting.append(type(one))
    return digest.hexdigest()


def _named_values_of_code(function: FunctionType) -> tuple[list[tuple[str, Any]], list[Any]]:
    """Return the plain values that a function names of its module and its closure, and what code it names."""
    names = sorted({name for code in _nested_code(function.__code__) for name in code.co_names})
    found = [(name, function.__globals__[name]) for name in names if name in function.__globals__]
    found += inspect.getclosurevars(function).nonlocals.items()
    plain = [(name, value) for name, value in found if isinstance(value, _PLAIN)]
    own = [value for _, value in found if isinstance(value, FunctionType | type)]
    return plain, [value for value in own if value.__module__ == function.__module__]


def _nested_code(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested_code(constant)


def _code_constants(code: CodeType) -> list[Any]:
    constants = [value for value in code.co_consts if not isinstance(value, CodeType)]
    return [sorted(map(repr, value)) if isinstance(value, frozenset) else value for value in constants]


def _text_of_value(value: Any) -> bytes:
    return repr(value).encode(errors="surrogatepass")
