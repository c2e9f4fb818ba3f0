"""AudioSet and ImageNet by the command line, on miniatures in their real layouts."""

import json
from pathlib import Path

import numpy as np
import pytest
from labelled import text
from PIL import Image
from sounds import tone, write

from hear_mwmae.supervised.__main__ import main

HEADER = ("# Segments csv created", "# num_ytids=x", "# YTID, start_seconds, end_seconds, positive_labels")


def run(mode: str, config: str, data: Path, workdir: Path, *options: str) -> int:
    given = ["--config", config, "--tiny", "--random-init", "--data", str(data), "--workdir", str(workdir)]
    return main([*given, "--workers", "0", *options], mode)


@pytest.fixture(scope="module")
def audioset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audioset")
    text(
        folder / "class_labels_indices.csv", "index,mid,display_name",
        '0,/m/a,"Bell, small"', "1,/m/b,Drum", "2,/m/c,Voice",
    )  # fmt: skip
    mids = ["/m/a", "/m/b", "/m/c"]
    for name, count, letter in (("balanced_train", 12, "t"), ("eval", 6, "e")):
        rows = [
            f'{letter}{number:010}, 0.000, 10.000, "{mids[number % 3]},{mids[(number + 1) % 3]}"'
            for number in range(count)
        ]
        text(folder / f"{name}_segments.csv", *HEADER, *rows)
        for number in range(count - 1):  # one of each list is gone
            write(folder / "clips" / f"{letter}{number:010}.wav", tone(0.5, seed=number % 3))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["finetune", "probe"])
def test_audioset_by_its_segment_lists(
    audioset: Path, tmp_path: Path, mode: str, capsys: pytest.CaptureFixture
) -> None:
    assert (
        run(mode, "audioset_20k:audio_mae_b", audioset, tmp_path, "--frames", "64", "--batch-size", "4") == 0
    )
    record = json.loads((tmp_path / "scores.json").read_text())
    assert record["clips"] == {"training": 11, "validation": 0, "test": 5, "missing": 2}
    assert (record["data"], record["metric"], record["classes"]) == ("audioset_20k", "mAP", 3)
    assert record["multilabel"]
    assert record["config"] == "audioset_20k:audio_mae_b"
    assert record["test"]["last"]["accuracy"] is None
    assert 0 < record["test"]["last"]["mAP"] <= 1
    assert record["test"]["best"]["chosen_on"] == "test"
    assert len((tmp_path / "missing.txt").read_text().splitlines()) == 2
    assert "2 clips are missing" in capsys.readouterr().err


@pytest.mark.slow
def test_imagenet_by_its_folders(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for part, count in (("train", 6), ("val", 2)):
        for number, colour in enumerate(([200, 40, 40], [40, 200, 40])):
            folder = tmp_path / "data" / part / f"n{number:08}"
            folder.mkdir(parents=True)
            for picture in range(count):
                noise = generator.integers(-30, 30, (40, 50, 3))
                pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{picture}.JPEG")
    run_dir = tmp_path / "run"
    options = ("--batch-size", "4", "--epochs", "3")
    assert run("probe", "imagenet:mw_mae_m", tmp_path / "data", run_dir, *options) == 0
    record = json.loads((run_dir / "scores.json").read_text())
    assert record["clips"] == {"training": 12, "validation": 0, "test": 4, "missing": 0}
    assert (record["metric"], record["classes"], record["multilabel"]) == ("accuracy", 2, False)
    assert len(record["heads"]) == 22


def test_the_plan_says_what_a_run_costs(
    audioset: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for mode in ("finetune", "probe"):
        options = ("--plan", "--frames", "64", "--batch-size", "4", "--seeds", "3")
        assert run(mode, "audioset_20k:audio_mae_b", audioset, tmp_path / mode, *options) == 0
        printed = capsys.readouterr().out
        assert "11 training clips, 3 classes, 2 missing" in printed
        assert ("in each of 3 runs" if mode == "finetune" else "once for all runs") in printed
        assert not (tmp_path / mode).exists()
