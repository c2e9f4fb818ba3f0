"""Pre-training of MAE and MW-MAE models in JAX: `hear-mwmae pretrain --help`."""
