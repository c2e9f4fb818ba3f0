"""The benchmark of the classifier's engine: its limit, its contenders and its two tables."""

from collections.abc import Iterator

import pytest
import torch

from benchmarks import probes as bench
from benchmarks.probes import Machine, Size
from evaluation.probes import processor
from evaluation.probes.config import ProbeConfig

TIMES = ("float32", "plain", "loader")


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


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A narrow network, quick also where products of 16 bits are emulated and all cores are busy."""
    monkeypatch.setattr(bench, "CONFIG", ProbeConfig(hidden_dim=8))
    monkeypatch.setattr(bench, "PRODUCT_SIZE", 32)
    monkeypatch.setattr(bench, "MOVED_NUMBERS", 1 << 12)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("small")
def test_the_table_has_a_line_for_every_size(capsys: pytest.CaptureFixture) -> None:
    assert bench.main(["--sizes", "40x8", "30x4", "--rounds", "1"]) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert "GFLOP/s float32; memory" in lines[0]
    assert [line.split()[0] for line in lines[3:]] == ["40x8", "30x4"]
    assert "bf16" not in shown.out + shown.err, "left out unless asked"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("ratio", "word"), [(24.0, "slower"), (0.5, "faster")])
def test_coarse_products_are_measured_when_asked(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, ratio: float, word: str
) -> None:
    monkeypatch.setattr(processor, "bf16_time", lambda: ratio)
    assert bench.main(["--sizes", "40x8", "--rounds", "1", "--bf16"]) == 0
    shown = capsys.readouterr()
    assert shown.err.startswith(f"bf16 is {word} than float32 on this processor")
    lines = shown.out.splitlines()
    assert "bf16; memory" in lines[0]
    assert len(lines[3].split()) == 11, "limit, engine and share twice, plain and loader with multiples"


@pytest.mark.usefixtures("small")
def test_a_line_is_there_before_the_next_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[Size] = []
    monkeypatch.setattr(bench, "measure", lambda size, *_: measured.append(size) or dict.fromkeys(TIMES, 1.0))
    lines = bench.table([Size(40, 8), Size(30, 4)], 1, ["float32"])
    assert [next(lines) for _ in range(3)]
    assert not measured
    assert next(lines).split()[0] == "40x8"
    assert measured == [Size(40, 8)]


def test_a_plan_says_whether_bf16_pays_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(processor, "bf16_time", lambda: 24.0)
    assert processor.bf16_advice(["float32", 3, {"a": 1}], cpu) == []
    assert processor.bf16_advice(["bf16"], torch.device("cuda")) == []
    (line,) = processor.bf16_advice(["float32", "bf16"], cpu)
    assert line.startswith("  warning: bf16 is slower than float32 on this processor")
    monkeypatch.setattr(processor, "bf16_time", lambda: 0.5)
    assert processor.bf16_advice(["bf16"], cpu) == [
        "  bf16 is faster than float32 on this processor: a product takes 50% of the time"
    ]


def test_what_bf16_takes_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "MEASURED_SIZE", 16)
    processor.bf16_time.cache_clear()
    threads = torch.get_num_threads()
    first = processor.bf16_time()
    assert 0 < first < 1e6
    assert processor.bf16_time() is first
    assert torch.get_num_threads() == threads
    assert processor.is_bf16_slower() == (first > 1)
    processor.bf16_time.cache_clear()


def test_growth_has_a_line_for_every_number_of_clips(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "GROWTH_CLIPS", (20, 40))
    monkeypatch.setattr(bench, "GROWTH_SEEDS", (1, 2))
    assert bench.main(["--growth", "--rounds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["20", "40"]


@pytest.mark.parametrize(
    "wrong", [["--sizes", "40"], ["--sizes", "1x4"], ["--sizes", "99999999x99999999"], ["--rounds", "0"]]
)
def test_a_wrong_size_or_number_is_refused(wrong: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit, match="2"):
        bench.main(wrong)
    assert wrong[0] in capsys.readouterr().err
