"""The packages that only pre-training needs, and what is said where one is missing."""

EXTRA = ("array_record", "jax", "optax", "orbax", "grain", "tensorboardX", "PIL")


def missing_package(error: ModuleNotFoundError) -> str:
    """Return the sentence for a missing package of the extra `pretrain`; raise the error if it is another."""
    if (error.name or "").partition(".")[0] not in EXTRA:
        raise error
    return f'needs {error.name}: pip install "hear-mwmae[pretrain]".'
