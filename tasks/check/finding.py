"""What a check of a task directory finds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or with `remark` only worth knowing, at `where` in the task directory."""

    where: str
    what: str
    remark: bool = False
