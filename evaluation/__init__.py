"""Evaluation of HEAR-API modules: embed, probe, score, tabulate. The entry is `python -m evaluation.run`."""
