"""Linear probes and fine-tuning in JAX, on the data, model and training rooms of `hear_mwmae.pretrain`."""
