"""What is said where the memory of a device does not suffice."""

import contextlib
from collections.abc import Iterator

import jax

from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.settings import RunSettings


@contextlib.contextmanager
def memory_advice(config: RunSettings, *, remat: bool, fsdp: bool, parts: int = 1) -> Iterator[None]:
    """Say for a device out of memory which options help, those not used yet.

    Args:
        config: the run's settings.
        remat, fsdp: whether the run does so already.
        parts: a part of a batch on one device must divide by it; 0 where a batch may not be cut.

    Raises:
        UserError: in place of the device's error.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        remedies = []
        smallest = config.accumulation_steps * parts * jax.device_count()
        if parts and config.batch_size > smallest:
            remedies.append(f"raise --accumulation-steps (now {config.accumulation_steps}; the same update)")
        if not remat:
            remedies.append("give --remat (slower, the same update)")
        if not fsdp and jax.device_count() > 1:
            remedies.append("give --fsdp (splits the parameters over the devices)")
        remedies.append(f"lower --batch-size (now {config.batch_size}; another run)")
        raise UserError(f"The memory of the device does not suffice: {', or '.join(remedies)}.") from error
