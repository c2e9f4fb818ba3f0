"""The commands: argparse and print, nothing else."""
