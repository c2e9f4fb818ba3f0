"""Pre-training of MAE and MW-MAE models in JAX: `python -m hear_mwmae.pretrain --help`."""
