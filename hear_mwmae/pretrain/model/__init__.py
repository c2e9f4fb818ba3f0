"""The masked autoencoder in JAX: masks, windows, transformer, loss."""
