"""What a run will take: the printed plan, and what is measured of it on a machine that is too small."""

import dataclasses

import jax
import pytest

from hear_mwmae.config import ModelConfig
from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.configs import find_run
from hear_mwmae.pretrain.settings import TrainConfig
from hear_mwmae.pretrain.training.plan import measurable, memory_per_device, print_plan
from hear_mwmae.pretrain.training.timing import DeviceGroup, StepOptions

SMALL = TrainConfig(
    ModelConfig(width=8, depth=1, heads=1, decoder_width=8, decoder_depth=1, decoder_heads=1),
    epochs=3,
    warmup_epochs=1,
    batch_size=4,
    precision="float32",
)
ACCELERATOR = DeviceGroup(1, "accelerator", 1e15, "data sheet", 100 * 2**30)
PROCESSOR = DeviceGroup(1, "cpu", 1e11, "measured", 16 * 2**30)


def lines_of(printed: str) -> dict[str, str]:
    """The printed lines by their labels, the lines without one joined to that before."""
    lines: dict[str, str] = {}
    label = ""
    for line in printed.splitlines():
        label = line[:11].strip() or label
        lines[label] = f"{lines.get(label, '')} {line[11:].strip()}".strip()
    return lines


def test_a_plan_tells_size_steps_work_memory_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    print_plan(SMALL, 9)
    plan = lines_of(capsys.readouterr().out)
    assert list(plan) == ["model", "steps", "operations", "memory", "speed", "duration"]
    assert "50 of 250 tokens kept" in plan["model"]
    assert plan["steps"] == "6 of 4 crops, 2 an epoch of 9 clips"
    assert "of 4 crops at a time, on each of 1 x cpu" in plan["memory"]
    assert "a step of 4, " in plan["speed"]
    assert "scaled" not in plan["speed"]
    crops_per_second = float(plan["speed"].split()[0])
    minutes = float(plan["duration"].split()[0])
    assert minutes == pytest.approx(6 * 4 / crops_per_second / 60, abs=0.051)


def test_a_plan_without_measurement_tells_no_duration(capsys: pytest.CaptureFixture[str]) -> None:
    run = find_run("table1:mw_mae_b")
    print_plan(run.train, run.clips, measure=False)
    plan = lines_of(capsys.readouterr().out)
    assert "92.8 M parameters, 85.3 M of them the encoder's" in plan["model"]
    assert plan["steps"] == "198,400 of 1024 crops, 1,984 an epoch of 2,032,320 clips"
    assert plan["operations"].startswith("7.50e+18")
    assert plan.keys().isdisjoint({"speed", "duration"})


def test_a_plan_whose_measurement_is_out_of_memory_says_what_helps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory.")

    monkeypatch.setattr("hear_mwmae.pretrain.training.plan.start_training", fail)
    with pytest.raises(UserError, match=r"--accumulation-steps \(now 1.*or give --remat"):
        print_plan(SMALL, 9)
    assert "memory" in lines_of(capsys.readouterr().out)


def test_too_few_clips_have_no_plan() -> None:
    with pytest.raises(UserError, match="too few for one batch"):
        print_plan(SMALL, 3)


def test_a_machine_measures_the_largest_batch_that_it_can() -> None:
    train = find_run("table1:mw_mae_b").train
    options = StepOptions()
    assert measurable(train, ACCELERATOR, options) == train
    smaller = measurable(train, PROCESSOR, options)
    assert smaller.batch_size < train.batch_size
    assert dataclasses.replace(smaller, batch_size=1024) == train
    assert measurable(train, dataclasses.replace(ACCELERATOR, memory=2**30), options) is None
    memory = 16 * 2**30
    held = measurable(train, dataclasses.replace(ACCELERATOR, memory=memory), options)
    needed = memory_per_device(held, 1, options)
    assert needed.total < 0.8 * memory < needed.total + needed.activations


def test_a_smaller_batch_keeps_its_parts_whole() -> None:
    train = dataclasses.replace(SMALL, batch_size=48, accumulation_steps=4, crops_per_clip=3)
    slow = dataclasses.replace(PROCESSOR, flops=1.0)
    assert measurable(train, slow, StepOptions()).batch_size == 12
