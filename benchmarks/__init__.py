"""Benchmarks for developers, run from a checkout: `python -m benchmarks.probes` and its like."""
