"""What the processor multiplies in hardware.

Where it does not multiply bfloat16, torch emulates that (measured on AVX2: 6 times slower than float32 in
`benchmarks.embedding`), and JAX computes it in float32 (measured there: as fast as float32, and no faster).
"""

import functools
import platform
import subprocess
import sys
from pathlib import Path

# As Linux names them: x86's two units for products of bfloat16, and ARM's.
_FLAGS = {"amx_bf16", "avx512_bf16", "bf16"}
_CPU_INFO = Path("/proc/cpuinfo")


class SlowPrecisionWarning(UserWarning):
    """A precision was asked for that is no faster here than float32, or slower."""


IN_JAX = "is computed in float32 and no faster"


@functools.cache
def multiplies_bf16() -> bool | None:
    """Tell whether the processor multiplies bfloat16 in hardware; None where the system does not say."""
    return _multiplies_bf16()


def _multiplies_bf16() -> bool | None:
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
        listed = (line.partition(":") for line in lines)
        flags = [
            set(rest.split()) for name, _, rest in listed if name.strip().lower() in ("flags", "features")
        ]
        if flags:
            return bool(_FLAGS.intersection(*flags))
    except OSError:
        pass
    if sys.platform == "darwin":
        return _macos_says("hw.optional.arm.FEAT_BF16")
    return None


def _macos_says(name: str) -> bool | None:
    try:
        found = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() == "1"


def describe_bf16(*, emulated: str = "is emulated and slower than float32") -> str:
    """Say in a sentence whether bfloat16 is worth it on this processor; `emulated` is what it is if not."""
    native = multiplies_bf16()
    if native is None:
        return "Whether this processor multiplies bfloat16 is not known: measure it before you use bf16."
    if native:
        return "This processor multiplies bfloat16 in hardware: bf16 can be faster than float32."
    return f"This processor ({platform.machine()}) does not multiply bfloat16 in hardware: bf16 {emulated}."
