"""The throughput table: that it adds up, and what a mistake says."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.pretraining import main
from hear_mwmae.pretrain.configs import find_run
from hear_mwmae.pretrain.data.prepare import prepare
from hear_mwmae.pretrain.training.cost import train_flops_per_crop

CONFIG = "table7:mae_8x16"


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Prepared data of eight noises of two seconds and a half."""
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    generator = np.random.default_rng(0)
    for number in range(8):
        soundfile.write(sounds / f"{number}.wav", generator.uniform(-0.5, 0.5, 40_000), 16_000)
    prepare([sounds], tmp_path / "data", workers=1)
    return tmp_path / "data"


def test_the_table_adds_up(prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--config", CONFIG, "--tiny", "--data", str(prepared), "--batch-size", "4", "--steps", "3"]
    assert main([*options, "--workers", "0"]) == 0
    title, _, *rows, peak, last = capsys.readouterr().out.splitlines()
    assert title.startswith(f"{CONFIG} (tiny) on 1 x cpu: 4 crops a step, float32")
    table = {row[:12].strip(): row[12:].split() for row in rows}
    assert list(table) == ["model only", "data only", "both"]
    for crops_per_second, milliseconds, *_ in table.values():
        assert float(crops_per_second) * float(milliseconds) == pytest.approx(4000, rel=1e-2)
    per_crop = train_flops_per_crop(find_run(CONFIG, tiny=True).train.model)
    crops_per_second, _, teraflops, share = table["both"]
    assert float(teraflops) * 1e12 == pytest.approx(float(crops_per_second) * per_crop, rel=1e-2)
    best = float(peak.split()[1])
    assert float(share.rstrip("%")) / 100 == pytest.approx(float(teraflops) / best, abs=0.01)
    assert last.startswith("Both together reach ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--config", "table7:nothing", "--data", "x"], "There is no run 'table7:nothing'"),
        (["--config", CONFIG, "--data", "x", "--steps", "0"], "--steps must be at least 1"),
        (
            ["--config", CONFIG, "--tiny", "--data", "missing-folder"],
            "missing-folder: there is no such folder",
        ),
    ],
)
def test_a_mistake_is_one_sentence(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
