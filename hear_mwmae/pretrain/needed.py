"""The packages that only pre-training needs, and how its commands end where one is missing."""

from collections.abc import Callable

from hear_mwmae.command import run_command
from hear_mwmae.errors import UserError

EXTRA = (
    "array_record", "jax", "optax", "orbax", "grain", "tensorboardX", "threadpoolctl", "PIL", "librosa",
)  # fmt: skip


def run_pretrain_command(work: Callable[[], int | None], stopped: str) -> int:
    """Run a command as `run_command` does, with a sentence for a missing package of the extra `pretrain`."""

    def guarded() -> int | None:
        try:
            return work()
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in EXTRA:
                raise
            raise UserError(f'needs {error.name}: pip install "hear-mwmae[pretrain]".') from None

    return run_command(guarded, stopped)
