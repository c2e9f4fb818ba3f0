"""What a check of a task directory finds."""

from collections.abc import Collection
from dataclasses import dataclass

_NAMED = 5


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or with `remark` only worth knowing, at `where` in the task directory."""

    where: str
    what: str
    remark: bool = False


def named(things: Collection[str]) -> str:
    """Names in their order, the first five of many."""
    shown = ", ".join(sorted(things)[:_NAMED])
    return shown if len(things) <= _NAMED else f"{shown} and {len(things) - _NAMED} more"
