"""List all runs of the paper's tables, and the small ones, with their sizes, published scores and costs."""

import argparse
from collections.abc import Sequence

from hear_mwmae.command import run_command
from hear_mwmae.pretrain.configs import SETS, Run
from hear_mwmae.pretrain.training.cost import PEAK_FLOPS, parameter_count, train_flops_per_crop

UTILISATION = 0.5
H200_FLOPS = UTILISATION * PEAK_FLOPS["NVIDIA H200"]
TPU_V3_8_FLOPS = UTILISATION * 8 * PEAK_FLOPS["TPU v3"]
HEADER = (
    f"{'run':26} {'row':27} {'parameters':>10} {'published':>11} {'FLOPs':>8} {'H200':>7} {'TPU v3-8':>9}"
)
EXPLANATION = f"""\
Parameters with decoder; published s(m) (table 5: accuracy of a linear probe; audio_mae: mAP of fine-tuning
on AS-20K / AS-2M) in %; operations of the whole run; hours on one H200 and on a TPU v3-8 at {UTILISATION:.0%}
of their bfloat16 peaks: estimates."""


def run_flops(run: Run) -> float:
    """Operations of a whole run on the published training set."""
    train = run.train
    crops = train.total_steps(train.steps_per_epoch(run.clips_used)) * train.batch_size
    return crops * train_flops_per_crop(train.model)


def cost_table(table: str) -> str:
    """One line per run of a table, under a header; every table's docstring shows it."""
    return "\n".join([HEADER, *(_line(f"{table}:{name}", run) for name, run in SETS[table].RUNS.items())])


def _line(name: str, run: Run) -> str:
    flops = run_flops(run)
    first, second = [*run.published.items(), ("", 0.0), ("", 0.0)][:2]
    between = " ± " if second[0].endswith("_ci") else " / "
    published = f"{first[1]:.1f}{between}{second[1]:.1f}" if run.published else ""
    millions = parameter_count(run.train.model).total / 1e6
    return (
        f"{name:26} {run.row:27} {millions:8.1f} M {published:>11} {flops:8.2e}"
        f" {flops / H200_FLOPS / 3600:5.1f} h {flops / TPU_V3_8_FLOPS / 3600:7.1f} h"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the list of all runs; return the exit status."""
    return run_command(lambda: _print_all(arguments), "stopped.")


def _print_all(arguments: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="hear-mwmae configs", description=__doc__)
    parser.parse_args(arguments)
    for table, module in SETS.items():
        assert module.__doc__ is not None
        print(module.__doc__.splitlines()[0], "", cost_table(table), "", sep="\n")
    print(EXPLANATION)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
