"""Options that every command which trains has: they change nothing of the outcome."""

import argparse
import os
from collections.abc import Mapping

from hear_mwmae.pretrain.settings import KERNELS

WATCHERS = {"--checkpoint-every": "steps; 0: at the end only", "--validate-every": "steps; 0: never"}


def add_run_options(parser: argparse.ArgumentParser, watchers: Mapping[str, str] = WATCHERS) -> None:
    """Add what watches a run and spreads it over a machine, see `training.loop.LoopOptions`.

    `watchers` are intervals, by default once an epoch, with what is said of each.
    """
    group = parser.add_argument_group("this run, the outcome stays the same")
    workers = min(8, (os.cpu_count() or 1) - 1)
    group.add_argument("--workers", type=int, default=workers, metavar="N",
                       help=f"processes that read data, 0: the training one (default {workers})")  # fmt: skip
    group.add_argument("--log-every", type=int, default=50, metavar="N", help="steps (default 50)")
    for option, text in watchers.items():
        group.add_argument(option, type=int, metavar="N", help=f"{text} (default: once an epoch)")
    group.add_argument("--keep-every", type=int, default=0, metavar="EPOCHS", dest="keep_every_epochs",
                       help="keep one checkpoint in so many epochs for good")  # fmt: skip
    group.add_argument("--remat", action="store_true", help="less memory, more time")
    group.add_argument("--fsdp", action="store_true", help="split parameters and moments over the devices")
    group.add_argument("--kernel", choices=KERNELS, default=KERNELS[0], help="of global attention heads")
    group.add_argument("--wandb", default="", metavar="PROJECT", help="log to Weights & Biases too")


def add_host_options(parser: argparse.ArgumentParser) -> None:
    """Add how the processes of one run find each other, see `hosts.join_hosts`."""
    group = parser.add_argument_group("several hosts")
    group.add_argument("--distributed", action="store_true", help="find the others (TPU pods, SLURM, MPI)")
    group.add_argument("--coordinator", default="", metavar="HOST:PORT", help="else: address of process 0")
    group.add_argument("--processes", type=int, metavar="N", help="how many")
    group.add_argument("--process-id", type=int, metavar="I", help="which one this is, from 0")
