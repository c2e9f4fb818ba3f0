"""The benchmark of the classifier's engine: its limit, its contenders and its two tables."""

import pytest
import torch

from evaluation import bench
from evaluation.bench import Machine, Size


def test_the_limit_is_products_adam_and_activations_one_after_another() -> None:
    machine = Machine(float32=1e9, bf16=2e9, bandwidth=1e6)
    size = Size(clips=1025, dim=100)
    first, last = 4 * 1025 * 100 * 1024, 6 * 1025 * 1024 * 10
    weights = (
        100 * 1024 + 2 * 1024 + 1024 * 10 + 10
    )  # weight, scale and shift; the hidden bias is not trained
    moved = 4 * (7 * weights * 2 + 5 * 1025 * 1024)
    assert machine.limit(size, "float32") == pytest.approx((first + last) / 1e9 + moved / 1e6)
    assert machine.limit(size, "bf16") == pytest.approx(first / 2e9 + last / 1e9 + moved / 1e6)


def test_the_engine_trains_as_many_networks_as_asked() -> None:
    logits = bench.engine(Size(20, 4).rows(), epochs=2, networks=3)
    assert [part.shape for part in logits] == [(bench.EXAMINED_ROWS, bench.LABELS)] * 3


def test_the_loader_hands_over_the_rows_of_the_tensor() -> None:
    rows = Size(20, 4).rows()
    single = bench._SingleRows(rows)
    assert len(single) == 20
    x, hot = single[7]
    assert torch.equal(x, rows.x[7])
    assert hot.argmax() == rows.target[7]
    assert hot.sum() == 1


def test_the_table_has_a_line_for_every_size(capsys: pytest.CaptureFixture) -> None:
    assert bench.main(["--sizes", "40x8", "30x4", "--rounds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "GFLOP/s float32" in lines[0]
    assert [line.split()[0] for line in lines[3:]] == ["40x8", "30x4"]


def test_growth_has_a_line_for_every_number_of_clips(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "GROWTH_CLIPS", (20, 40))
    monkeypatch.setattr(bench, "GROWTH_SEEDS", (1, 2))
    assert bench.main(["--growth", "--rounds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["20", "40"]


@pytest.mark.parametrize("wrong", [["--sizes", "40"], ["--sizes", "1x4"], ["--rounds", "0"]])
def test_a_wrong_size_or_number_is_refused(wrong: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="2"):
        bench.main(wrong)
    assert wrong[0] in capsys.readouterr().err
