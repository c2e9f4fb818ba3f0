"""The settings of a process that a module may change: how each is asked for, put back and given back."""

import contextlib
import gc
import importlib
import locale
import logging
import os
import pickle
import random
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from numpy.random import mtrand

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


@dataclass(frozen=True)
class Setting:
    """One thing that a module may change: how it is asked for and put back.

    `kept` says whether the module finds its own value at its next call: all of it, or what `difference` makes
    of the value before and after, which `give` brings back.
    """

    get: Callable[[], Any]
    put: Callable[[Any], Any]
    kept: bool = True
    difference: Callable[[Any, Any], Any] | None = None
    give: Callable[[Any], Any] | None = None


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
    filters: list = warnings.filters  # type: ignore[assignment] # typeshed says no more than sequence
    _put_filters((filters, added + [item for item in filters if item not in added]))


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


def _put_timer(value: tuple[float, float]) -> None:
    if value[0] == 0:  # one of the program's own goes on by itself
        signal.setitimer(signal.ITIMER_REAL, 0)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_LIMITS = ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_STACK")


def _limits() -> dict[str, tuple[int, int]]:
    resource = importlib.import_module("resource")  # not everywhere
    return {name: resource.getrlimit(getattr(resource, name)) for name in _LIMITS}


def _put_limits(wanted: Mapping[str, tuple[int, int]]) -> None:
    resource = importlib.import_module("resource")
    for name, (soft, _) in wanted.items():
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        resource.setrlimit(number, (soft if hard < 0 else min(soft, hard), hard))


def _attention() -> tuple[bool, ...]:
    cuda, mha = torch.backends.cuda, torch.backends.mha
    own = cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.math_sdp_enabled()
    return mha.get_fastpath_enabled(), *own


def _put_attention(value: tuple[bool, ...]) -> None:
    cuda, mha = torch.backends.cuda, torch.backends.mha
    puts = (
        mha.set_fastpath_enabled,
        cuda.enable_flash_sdp,
        cuda.enable_mem_efficient_sdp,
        cuda.enable_math_sdp,
    )
    for put, on in zip(puts, value, strict=True):
        put(on)


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


def _attribute(owner: Any, name: str, *, kept: bool = False) -> Setting:
    get, (*parents, last) = attrgetter(name), name.split(".")
    holder = attrgetter(".".join(parents)) if parents else lambda owner: owner
    return Setting(lambda: get(owner), lambda value: setattr(holder(owner), last, value), kept)


_ONEDNN_PRODUCTS, _CUDA_PRODUCTS, _CUDNN_CONVOLUTIONS, _CUDNN_RECURRENCES = (
    _attribute(torch, f"backends.{name}.fp32_precision")
    for name in ("mkldnn.matmul", "cuda.matmul", "cudnn.conv", "cudnn.rnn")
)


def _matrix_products() -> tuple[str | None, str, str]:
    return _or_none(torch.get_float32_matmul_precision), _ONEDNN_PRODUCTS.get(), _CUDA_PRODUCTS.get()


def _put_matrix_products(value: tuple[str | None, str, str]) -> None:
    if value[0] is not None:
        torch.set_float32_matmul_precision(value[0])
    else:
        _ONEDNN_PRODUCTS.put(value[1])
        _CUDA_PRODUCTS.put(value[2])


def _convolutions() -> tuple[bool | None, str, str]:
    older = _or_none(lambda: torch.backends.cudnn.allow_tf32)
    return older, _CUDNN_CONVOLUTIONS.get(), _CUDNN_RECURRENCES.get()


def _put_convolutions(value: tuple[bool | None, str, str]) -> None:
    if value[0] is not None:
        torch.backends.cudnn.allow_tf32 = value[0]
    else:
        _CUDNN_CONVOLUTIONS.put(value[1])
        _CUDNN_RECURRENCES.put(value[2])


def _autocast() -> list[tuple[str, bool, torch.dtype]]:
    return [(d, torch.is_autocast_enabled(d), torch.get_autocast_dtype(d)) for d in ("cpu", "cuda")]


def _put_autocast(value: list[tuple[str, bool, torch.dtype]]) -> None:
    for device, on, dtype in value:
        torch.set_autocast_enabled(device, on)
        torch.set_autocast_dtype(device, dtype)


def _random_numbers() -> tuple[Any, ...]:
    generator, state = mtrand.get_bit_generator(), pickle.dumps(np.random.get_state(legacy=False))
    return torch.get_rng_state().numpy().tobytes(), generator, state, random.getstate()


def _put_random_numbers(value: tuple[Any, ...]) -> None:
    of_torch, generator, state, of_python = value
    torch.set_rng_state(torch.frombuffer(bytearray(of_torch), dtype=torch.uint8))
    mtrand.set_bit_generator(generator)
    np.random.set_state(pickle.loads(state))
    random.setstate(of_python)


SETTINGS: Mapping[str, Setting] = {
    "directory": Setting(os.getcwd, os.chdir),
    "environment": Setting(
        os.environ.copy, _put_environment, difference=_changed_environment, give=_give_environment
    ),
    "path": Setting(lambda: (sys.path, list(sys.path)), _put_path, difference=_added, give=_give_path),
    "locale": Setting(lambda: locale.setlocale(locale.LC_ALL), lambda v: locale.setlocale(locale.LC_ALL, v)),
    "recursion": Setting(sys.getrecursionlimit, sys.setrecursionlimit),
    "random numbers": Setting(_random_numbers, _put_random_numbers),
    "numpy's errors": Setting(np.geterr, lambda value: np.seterr(**value)),
    "numpy's printing": Setting(np.get_printoptions, lambda value: np.set_printoptions(**value)),
    "denormals": Setting(_flushes_denormals, torch.set_flush_denormal),
    "threads": Setting(torch.get_num_threads, torch.set_num_threads),
    "dtype": Setting(torch.get_default_dtype, torch.set_default_dtype),
    "device": Setting(torch.get_default_device, _put_default_device),
    "gradients": Setting(torch.is_grad_enabled, torch.set_grad_enabled, kept=False),
    "inference": Setting(torch.is_inference_mode_enabled, _put_inference_mode, kept=False),
    "autocast": Setting(_autocast, _put_autocast),
    "anomalies": Setting(torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "matrix products": Setting(_matrix_products, _put_matrix_products),
    "convolutions": Setting(_convolutions, _put_convolutions),
    "deterministic": Setting(torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    "attention": Setting(_attention, _put_attention),
    **{f"torch.{name}": _attribute(torch, name, kept=True) for name in _TORCH_FLAGS},
    "filters of warnings": Setting(
        lambda: (warnings.filters, list(warnings.filters)),
        _put_filters,
        difference=_added,
        give=_give_filters,
    ),
    "showing warnings": _attribute(warnings, "showwarning"),
    "form of warnings": _attribute(warnings, "formatwarning"),
    "signals": Setting(_handlers, _put_handlers, kept=False),
    "loggers": Setting(
        lambda: (logging.root.level, list(logging.root.handlers), logging.root.manager.disable),
        _put_loggers,
        kept=False,
    ),
    "output": _attribute(sys, "stdout"),
    "errors": _attribute(sys, "stderr"),
    "input": _attribute(sys, "stdin"),
    "arguments": Setting(lambda: list(sys.argv), lambda value: setattr(sys, "argv", value), kept=False),
    "exceptions": _attribute(sys, "excepthook"),
    "exceptions of threads": _attribute(threading, "excepthook"),
    "exceptions nobody sees": _attribute(sys, "unraisablehook"),
    "tracing": Setting(sys.gettrace, sys.settrace, kept=False),
    "garbage": Setting(gc.isenabled, lambda on: gc.enable() if on else gc.disable(), kept=False),
    "temporary folder": _attribute(tempfile, "tempdir"),
    "mask of new files": Setting(_umask, os.umask, kept=False),
    "limits": Setting(_limits, _put_limits, kept=False),
    "timer": Setting(lambda: signal.getitimer(signal.ITIMER_REAL), _put_timer, kept=False),
    "digits": Setting(sys.get_int_max_str_digits, sys.set_int_max_str_digits),
    "sockets": Setting(socket.getdefaulttimeout, socket.setdefaulttimeout, kept=False),
    "cores": Setting(lambda: os.sched_getaffinity(0), lambda v: os.sched_setaffinity(0, v), kept=False),
}
"""All that is noted and put back. Values are compared, so that what nobody changed is not touched."""
