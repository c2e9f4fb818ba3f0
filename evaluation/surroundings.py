"""What a module of somebody else does to this process: kept for the module, undone for everybody else.

A HEAR module may set torch's default dtype, change the working directory or its random numbers; alone in a
script of its own that is its right. Here other modules and the classifiers live in the same process. So
around every import, load and call the settings of the process are noted before and put back after; what the
module has made of them is given back to it at its next call. No answer depends on what another module did.
"""

import contextlib
import gc
import locale
import logging
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from types import FrameType
from typing import Any

import numpy as np
import torch

from evaluation.opened import Opened

SEED = 0
"""Of the global random numbers that a module finds when it is loaded, so that it draws the same each time."""

_USERS_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")

_TORCH_FLAGS = (
    "backends.cudnn.benchmark",
    "backends.cudnn.deterministic",
    "backends.cudnn.enabled",
    "backends.cuda.matmul.allow_fp16_reduced_precision_reduction",
    "backends.cuda.matmul.allow_bf16_reduced_precision_reduction",
    "backends.fp32_precision",
    "backends.mkldnn.fp32_precision",
    "backends.mkldnn.conv.fp32_precision",
    "backends.mkldnn.rnn.fp32_precision",
)


class Quit(Exception):
    """The module asked Python to end, which nobody else had asked for."""


@dataclass(frozen=True)
class _Setting:
    """One thing that a module may change: how it is asked for and put back.

    `kept` says whether the module finds its own value at its next call: all of it, or what `difference` makes
    of the value before and after, which `give` brings back.
    """

    get: Callable[[], Any]
    put: Callable[[Any], Any]
    kept: bool = True
    difference: Callable[[Any, Any], Any] | None = None
    give: Callable[[Any], Any] | None = None


class Surroundings:
    """The settings of the process as one module wants them."""

    def __init__(self, kept: Mapping[str, Any] | None = None):
        self._kept = dict(kept or {})

    def copy(self) -> "Surroundings":
        """Return the same settings for somebody who goes on from here."""
        return Surroundings(self._kept)

    @contextlib.contextmanager
    def entered(self, *, here: bool = False) -> Iterator[Opened]:
        """Run the block with the module's settings and put everything back after it.

        Yields the files that the block opens to read. With `here` the working directory is the program's:
        paths that the user gave mean what they meant. Raises Quit in the place of SystemExit, and of a
        KeyboardInterrupt that no signal asked for.
        """
        before = _noted()
        self._put_own(here)
        signalled: list[int] = []
        try:
            with _noticed(signalled), Opened() as opened:
                yield opened
        except SystemExit as error:
            raise Quit(f"it asked Python to end (SystemExit: {error.code})") from error
        except KeyboardInterrupt as error:
            if signalled:
                raise
            raise Quit("it raised KeyboardInterrupt") from error
        finally:
            self._put_back(before)

    def _put_own(self, here: bool) -> None:
        for name, value in self._kept.items():
            if not (here and name == "directory"):
                with contextlib.suppress(Exception):  # gone meanwhile, such as a directory
                    (SETTINGS[name].give or SETTINGS[name].put)(value)

    def _put_back(self, before: Mapping[str, Any]) -> None:
        after = _noted()
        for name, value in before.items():
            setting = SETTINGS[name]
            if value is None or _same(value, after[name]):
                continue
            if setting.kept:
                own = setting.difference or (lambda _, after: after)
                self._kept[name] = own(value, after[name])
            with contextlib.suppress(Exception):  # gone meanwhile, such as a directory
                setting.put(value)


def seed_everything() -> None:
    """Start the global random numbers of torch, numpy and Python anew."""
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    random.seed(SEED)


@contextlib.contextmanager
def _noticed(signalled: list[int]) -> Iterator[None]:
    """Note the signals by which a user ends a program; other handlers stay and still do their work."""

    def watched(handler: Callable[[int, FrameType | None], Any]) -> Callable[[int, FrameType | None], Any]:
        def handle(number: int, frame: FrameType | None) -> Any:
            signalled.append(number)
            return handler(number, frame)

        return handle

    if threading.current_thread() is threading.main_thread():
        for name in _USERS_SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and callable(handler := signal.getsignal(number)):
                signal.signal(number, watched(handler))
    yield  # the handlers go back with all other settings


def _noted() -> dict[str, Any]:
    """Return every setting; None for what cannot be asked for."""
    found: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        try:
            found[name] = setting.get()
        except Exception:  # an option that this torch, numpy or system does not have
            found[name] = None
    return found


def _same(one: Any, two: Any) -> bool:
    try:
        return bool(one == two)
    except Exception:
        return one is two


def _put_environment(wanted: Mapping[str, str]) -> None:
    _give_environment({**dict.fromkeys(os.environ), **wanted})


def _changed_environment(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str | None]:
    return {name: after.get(name) for name in {**before, **after} if before.get(name) != after.get(name)}


def _give_environment(changes: Mapping[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        elif os.environ.get(name) != value:
            os.environ[name] = value


def _put_path(value: tuple[list[str], list[str]]) -> None:
    sys.path = value[0]
    sys.path[:] = value[1]


def _put_filters(value: tuple[list, list]) -> None:
    warnings.filters = value[0]
    warnings.filters[:] = value[1]
    for name in ("_filters_mutated", "_filters_mutated_lock_held"):
        with contextlib.suppress(Exception):
            getattr(warnings, name)()


def _added(before: tuple[list, list], after: tuple[list, list]) -> list:
    return [item for item in after[1] if item not in before[1]]


def _give_path(added: list[str]) -> None:
    sys.path[:0] = [folder for folder in added if folder not in sys.path]


def _give_filters(added: list) -> None:
    _put_filters((warnings.filters, added + [item for item in warnings.filters if item not in added]))


_SIGNALS = (
    *("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGABRT", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGALRM"),
    *("SIGCHLD", "SIGPIPE", "SIGUSR1", "SIGUSR2", "SIGTSTP", "SIGCONT", "SIGWINCH", "SIGBREAK"),
)


def _handlers() -> dict[int, Any]:
    numbers = [number for name in _SIGNALS if (number := getattr(signal, name, None)) is not None]
    return {number: signal.getsignal(number) for number in numbers}


def _put_handlers(wanted: Mapping[int, Any]) -> None:
    if threading.current_thread() is not threading.main_thread():
        return
    for number, handler in wanted.items():
        if handler is not None and signal.getsignal(number) != handler:
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, handler)


def _put_loggers(value: tuple[int, list, int]) -> None:
    root = logging.getLogger()
    root.setLevel(value[0])
    root.handlers[:] = value[1]
    logging.disable(value[2])


def _flushes_denormals() -> bool:
    return float(np.float32(1e-40) * np.float32(1.0)) == 0.0


def _put_default_device(device: torch.device) -> None:
    torch.set_default_device(None if device == torch.device("cpu") else device)


_guards: list[torch.inference_mode] = []


def _put_inference_mode(on: bool) -> None:
    """Set the mode, which has no other way than a context that is never left."""
    _guards.append(torch.inference_mode(on))
    _guards[-1].__enter__()


def _or_none(question: Callable[[], Any]) -> Any:
    try:
        return question()
    except RuntimeError:  # it was set by the newer of torch's two interfaces, which its older one refuses
        return None


def _matrix_products() -> tuple[str | None, str, str]:
    backends = torch.backends
    newer = backends.mkldnn.matmul.fp32_precision, backends.cuda.matmul.fp32_precision
    return _or_none(torch.get_float32_matmul_precision), *newer


def _put_matrix_products(value: tuple[str | None, str, str]) -> None:
    if value[0] is not None:
        torch.set_float32_matmul_precision(value[0])
    else:
        torch.backends.mkldnn.matmul.fp32_precision = value[1]
        torch.backends.cuda.matmul.fp32_precision = value[2]


def _convolutions() -> tuple[bool | None, str, str]:
    cudnn = torch.backends.cudnn
    return _or_none(lambda: cudnn.allow_tf32), cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision


def _put_convolutions(value: tuple[bool | None, str, str]) -> None:
    cudnn = torch.backends.cudnn
    if value[0] is not None:
        cudnn.allow_tf32 = value[0]
    else:
        cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = value[1:]


def _autocast() -> list[tuple[str, bool, torch.dtype]]:
    return [(d, torch.is_autocast_enabled(d), torch.get_autocast_dtype(d)) for d in ("cpu", "cuda")]


def _put_autocast(value: list[tuple[str, bool, torch.dtype]]) -> None:
    for device, on, dtype in value:
        torch.set_autocast_enabled(device, on)
        torch.set_autocast_dtype(device, dtype)


def _random_numbers() -> tuple[Any, ...]:
    name, keys, *rest = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), (name, keys.tobytes(), *rest), random.getstate()


def _put_random_numbers(value: tuple[Any, ...]) -> None:
    of_torch, (name, keys, *rest), of_python = value
    torch.set_rng_state(torch.frombuffer(bytearray(of_torch), dtype=torch.uint8))
    np.random.set_state((name, np.frombuffer(keys, np.uint32), *rest))
    random.setstate(of_python)


def _attribute(owner: Any, name: str, *, kept: bool = False) -> _Setting:
    get, (*parents, last) = attrgetter(name), name.split(".")
    holder = attrgetter(".".join(parents)) if parents else lambda owner: owner
    return _Setting(lambda: get(owner), lambda value: setattr(holder(owner), last, value), kept)


SETTINGS: Mapping[str, _Setting] = {
    "directory": _Setting(os.getcwd, os.chdir),
    "environment": _Setting(
        os.environ.copy, _put_environment, difference=_changed_environment, give=_give_environment
    ),
    "path": _Setting(lambda: (sys.path, list(sys.path)), _put_path, difference=_added, give=_give_path),
    "locale": _Setting(lambda: locale.setlocale(locale.LC_ALL), lambda v: locale.setlocale(locale.LC_ALL, v)),
    "recursion": _Setting(sys.getrecursionlimit, sys.setrecursionlimit),
    "random numbers": _Setting(_random_numbers, _put_random_numbers),
    "numpy's errors": _Setting(np.geterr, lambda value: np.seterr(**value)),
    "numpy's printing": _Setting(np.get_printoptions, lambda value: np.set_printoptions(**value)),
    "denormals": _Setting(_flushes_denormals, torch.set_flush_denormal),
    "threads": _Setting(torch.get_num_threads, torch.set_num_threads),
    "dtype": _Setting(torch.get_default_dtype, torch.set_default_dtype),
    "device": _Setting(torch.get_default_device, _put_default_device),
    "gradients": _Setting(torch.is_grad_enabled, torch.set_grad_enabled, kept=False),
    "inference": _Setting(torch.is_inference_mode_enabled, _put_inference_mode, kept=False),
    "autocast": _Setting(_autocast, _put_autocast),
    "anomalies": _Setting(torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "matrix products": _Setting(_matrix_products, _put_matrix_products),
    "convolutions": _Setting(_convolutions, _put_convolutions),
    "deterministic": _Setting(torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    "attention": _Setting(torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
    **{f"torch.{name}": _attribute(torch, name, kept=True) for name in _TORCH_FLAGS},
    "filters of warnings": _Setting(
        lambda: (warnings.filters, list(warnings.filters)),
        _put_filters,
        difference=_added,
        give=_give_filters,
    ),
    "showing warnings": _attribute(warnings, "showwarning"),
    "form of warnings": _attribute(warnings, "formatwarning"),
    "signals": _Setting(_handlers, _put_handlers, kept=False),
    "loggers": _Setting(
        lambda: (logging.root.level, list(logging.root.handlers), logging.root.manager.disable),
        _put_loggers,
        kept=False,
    ),
    "output": _attribute(sys, "stdout"),
    "errors": _attribute(sys, "stderr"),
    "input": _attribute(sys, "stdin"),
    "arguments": _Setting(lambda: list(sys.argv), lambda value: setattr(sys, "argv", value), kept=False),
    "exceptions": _attribute(sys, "excepthook"),
    "exceptions of threads": _attribute(threading, "excepthook"),
    "exceptions nobody sees": _attribute(sys, "unraisablehook"),
    "tracing": _Setting(sys.gettrace, sys.settrace, kept=False),
    "garbage": _Setting(gc.isenabled, lambda on: gc.enable() if on else gc.disable(), kept=False),
    "temporary folder": _attribute(tempfile, "tempdir"),
    "sockets": _Setting(socket.getdefaulttimeout, socket.setdefaulttimeout, kept=False),
    "cores": _Setting(lambda: os.sched_getaffinity(0), lambda v: os.sched_setaffinity(0, v), kept=False),
}
"""All that is noted and put back. Values are compared, so that what nobody changed is not touched."""
