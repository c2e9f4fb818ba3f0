"""What a run tells while it goes: one line on the screen, log.jsonl, TensorBoard and, where wanted, W&B.

Every record carries "step", the number of updates done. Only the first process writes.
"""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from hear_mwmae.errors import UserError
from hear_mwmae.files import append_line, set_aside, write_text
from hear_mwmae.json_files import parse_json
from hear_mwmae.pretrain.settings import RunSettings

JSONL_FILE = "log.jsonl"
WANDB_FILE = "wandb_run"
TENSORBOARD = "tensorboard"
Values = Mapping[str, float]


def truncate_log(path: Path, step: int) -> None:
    """Drop the records after `step` from a JSONL file, and a torn line at its end.

    If other lines cannot be read, the file as it was is set aside, with a warning.
    """
    if not path.exists():
        return
    records, damaged = _records(path)
    kept = "".join(f"{line}\n" for line, record in records if record["step"] <= step)
    if kept.encode() == path.read_bytes():
        return
    if damaged:
        set_aside(path, f"{damaged} lines of it cannot be read and are left out")
    write_text(path, kept)


def loss_curve(path: Path, step: int, points: int = 100) -> list[tuple[int, float]]:
    """Read (step, training loss) off a run's JSONL file: up to `step`, at most `points`, evenly spread.

    The last record is always one of them; empty where there is no such file.
    """
    records = [record for _, record in _records(path)[0]] if path.exists() else []
    curve = [
        (record["step"], round(float(record["loss"]), 5))
        for record in records
        if record["step"] <= step and type(record.get("loss")) in (int, float)
    ]
    kept = np.linspace(0, len(curve) - 1, min(points, len(curve))).round().astype(int)
    return [curve[index] for index in kept]


def _records(path: Path) -> tuple[list[tuple[str, dict[str, float]]], int]:
    """Return the lines of a JSONL file that are records, and how many others but a torn last one."""
    records, damaged = [], 0
    *lines, last = path.read_bytes().split(b"\n")
    for line in [*lines, last]:
        try:
            record = parse_json(line, "a line", finite=False)
            if type(record["step"]) is not int:
                raise TypeError
            records.append((line.decode().removesuffix("\r"), record))
        except (UserError, KeyError, TypeError):
            # Several lines may hang together at the end where they are separated otherwise.
            damaged += line is not last or b"\r" in line
    return records, damaged


class Logs:
    """Where the records of a run go; use it as a context.

    Args:
        workdir: the run's directory.
        config: recorded by W&B.
        total_steps: updates in the whole run.
        step: updates done when this process begins; later records of an earlier process are dropped.
        wandb_project: name of a W&B project, or "" to do without.

    Raises:
        UserError: W&B is wanted and not installed.
    """

    def __init__(
        self, workdir: Path, config: RunSettings, *, total_steps: int, step: int, wandb_project: str = ""
    ) -> None:
        self._wandb = None
        self._active = jax.process_index() == 0
        if not self._active:
            return
        # Imported here, as it loads torch where that is installed, and only the first process needs it.
        from tensorboardX import SummaryWriter

        if wandb_project:
            self._wandb = _start_wandb(wandb_project, workdir, config)
        truncate_log(workdir / JSONL_FILE, step)
        self._path = workdir / JSONL_FILE
        self._tensorboard = SummaryWriter(str(workdir / TENSORBOARD), purge_step=step + 1)
        self._on_screen = sys.stderr.isatty()
        self._bar = tqdm(
            total=total_steps, initial=step, unit="step", dynamic_ncols=True, disable=not self._on_screen
        )

    def __enter__(self) -> "Logs":
        return self

    def __exit__(self, *_: object) -> None:
        if not self._active:
            return
        self._bar.close()
        self._tensorboard.close()
        if self._wandb:
            self._wandb.finish()

    def advance(self) -> None:
        """Move the line on the screen on by one update."""
        if self._active:
            self._bar.update()

    def record(self, step: int, values: Values) -> None:
        """Write numbers of one step everywhere; where the screen is no terminal, as a line of its own."""
        if not self._active:
            return
        append_line(self._path, json.dumps({"step": step, **values}))
        for name, value in values.items():
            self._tensorboard.add_scalar(name, value, step)
        if self._wandb:
            self._wandb.log(dict(values), step=step)
        if self._on_screen:
            self._bar.set_postfix_str(summary(values))
        else:
            print(f"step {step}/{self._bar.total}: {summary(values)}", file=sys.stderr, flush=True)

    def picture(self, step: int, path: Path, pixels: np.ndarray) -> None:
        """Show a picture, uint8 [height, width, 3], in TensorBoard and W&B."""
        if not self._active:
            return
        self._tensorboard.add_image("reconstruction", pixels, step, dataformats="HWC")
        if self._wandb:
            import wandb

            self._wandb.log({"reconstruction": wandb.Image(str(path))}, step=step)


def summary(values: Values) -> str:
    """Write a record in a few words.

    >>> summary({"loss": 0.51234, "learning_rate": 6e-5, "clips_per_second": 1033.4, "mfu": 0.412})
    'loss 0.5123, rate 6.00e-05, 1033 clips/s, MFU 41 %'
    """
    formats = {
        "loss": "loss {:.4f}",
        "validation_loss": "validation loss {:.4f}",
        "validation_accuracy": "validation accuracy {:.3f}",
        "test_accuracy": "test accuracy {:.3f}",
        "test_mAP": "test mAP {:.3f}",
        "learning_rate": "rate {:.2e}",
        "gradient_norm": "norm {:.3g}",
        "clips_per_second": "{:.0f} clips/s",
    }
    words = [text.format(values[name]) for name, text in formats.items() if name in values]
    if "mfu" in values:
        words.append(f"MFU {100 * values['mfu']:.0f} %")
    return ", ".join(words)


def _start_wandb(project: str, workdir: Path, config: RunSettings) -> Any:
    """Begin, or go on with, the W&B run of a directory."""
    try:
        import wandb
    except ImportError:
        raise UserError(
            "--wandb needs the package wandb: pip install wandb, or leave the option out."
        ) from None
    path = workdir / WANDB_FILE
    run = wandb.init(
        project=project,
        dir=str(workdir),
        id=path.read_text(encoding="utf-8", errors="replace") if path.exists() else None,
        resume="allow",
        config=json.loads(config.to_json()),
    )
    write_text(path, run.id)
    return run


class Throughput:
    """Crops per second between two records, the pauses left out.

    Args:
        config: the run's settings.
        flops_per_crop: operations of one crop's share of an update.
        peak_flops: operations per second of all devices together, or None where it is not known.
    """

    def __init__(self, config: RunSettings, *, flops_per_crop: float, peak_flops: float | None) -> None:
        self._config = config
        self._flops_per_crop = flops_per_crop
        self._peak_flops = peak_flops
        self.restart()

    def restart(self) -> None:
        """Forget what was measured; to be called when the devices are idle."""
        self._steps = 0
        self._start = time.perf_counter()

    def add_step(self) -> None:
        """Count an update."""
        self._steps += 1

    def measure(self) -> dict[str, float]:
        """Return crops and tokens per second and, where the devices' peak is known, the share of it used.

        Empty if no update was counted since the last restart.
        """
        if not self._steps:
            return {}
        crops = self._steps * self._config.batch_size / (time.perf_counter() - self._start)
        rates = {"clips_per_second": crops, "tokens_per_second": crops * self._config.model.tokens}
        if self._peak_flops:
            rates["mfu"] = crops * self._flops_per_crop / self._peak_flops
        return rates
