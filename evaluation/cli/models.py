"""`hear-eval models`: the systems of the paper's Table 1, and their weights."""

import argparse
import json
from collections.abc import Sequence
from typing import Any

from evaluation.cli.command import run_command
from evaluation.models.systems import NO_WEIGHTS, download, rows_of_systems

HEADER = ("module", "Table 1", "M", "Hz", "size", "ms", "data", "hours", "licence", "weights")
LEGEND = """\
Modules are evaluation.baselines.NAME, and hear_mwmae.NAME for mae_*, mw_mae_*, log_mel and
random_init. M: million parameters; fixed numbers, such as the random projection of hear_naive, do
not count. size: numbers per embedding (of a scene/of a frame where they differ). ms: from frame
to frame."""


def text_table(found: Sequence[dict[str, Any]]) -> str:
    """Return the list for a terminal of 100 columns, and where the weights are or come from."""
    lines = [HEADER, *(_model_cells(row) for row in found)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    places = [
        f"{_short_text(row).ljust(widths[0])}  {row['weights'] or _weights_source(row)}"
        for row in found
        if row["weights"] != NO_WEIGHTS
    ]
    return "\n".join([*rows, "", LEGEND, "", "Weights:", *places])


def _short_text(row: dict[str, Any]) -> str:
    return row["module"].rpartition(".")[2]


def _weights_source(row: dict[str, Any]) -> str:
    return f"missing: {row['origin'] or 'not released, train them'}"


def _model_cells(row: dict[str, Any]) -> tuple[str, ...]:
    parameters, scene, frame = row["parameters"], row["scene_size"], row["timestamp_size"]
    state = row["weights"] if row["weights"] in ("", NO_WEIGHTS) else "here"
    return (
        _short_text(row),
        row["row"],
        "" if parameters is None else f"{parameters / 1e6:.1f}",
        str(row["sample_rate"]),
        str(scene) if scene == frame else f"{scene}/{frame}",
        str(row["hop_ms"]),
        row["data"],
        str(row["data_hours"] or ""),
        row["licence"],
        state or "missing",
    )


def models_parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    result = argparse.ArgumentParser(
        prog="hear-eval models",
        description="List the systems of Table 1 and the baselines: sizes, data, licence, where weights are. "
        "`hear-eval run --models table1` evaluates those of Table 1.",
    )
    result.add_argument("--json", action="store_true", help="print JSON")
    result.add_argument(
        "--download",
        nargs="+",
        metavar="NAME",
        help="fetch models into the cache of the Hugging Face Hub: names of the list (hubert_base), table1 "
        "for all of its models that are on the hub, or OWNER/MODEL; nothing else here downloads models",
    )
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 2 for a mistake, 130 after Ctrl-C."""

    def work() -> None:
        arguments = models_parser().parse_args(argv)
        if arguments.download:
            print(*download(arguments.download), sep="\n")
        elif arguments.json:
            print(json.dumps(rows_of_systems(), indent=2))
        else:
            print(text_table(rows_of_systems()))

    return run_command(work, "stopped; the same command goes on with what is missing.")
