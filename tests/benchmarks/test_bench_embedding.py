"""The throughput table of embedding: which precisions it has on which machine, and when its rows appear."""

import pytest
import torch

from benchmarks import embedding as bench
from hear_mwmae import processor


@pytest.fixture(autouse=True)
def _nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "load_model", lambda **options: options["model"])
    monkeypatch.setattr(bench, "rates", lambda *_, **__: (2.0, 1.0, 1.0))
    monkeypatch.setattr(bench, "load_cost", lambda _: [(1.0, 100.0), (2.0, 200.0)])


def rows(*options: str) -> list[str]:
    return ["--model", "mae_t", "--threads", str(torch.get_num_threads()), *options]


@pytest.mark.parametrize(
    ("native", "options", "precisions"),
    [
        (True, [], ["float32", "bf16"]),
        (None, [], ["float32", "bf16"]),
        (False, [], ["float32"]),
        (False, ["--precision", "bf16"], ["bf16"]),
    ],
)
def test_what_is_emulated_is_measured_only_when_asked_for(
    native: bool | None,
    options: list[str],
    precisions: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(processor, "multiplies_bf16", lambda: native)
    assert bench.main(rows(*options)) == 0
    out, error = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines() if "50%" in line] == precisions
    assert ("It is left out" in error) == (native is False and not options)
    assert [f"measuring {name} ..." in error for name in precisions] == [True] * len(precisions)


def test_nonsense_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--repeats", "0"]) == 2
    assert capsys.readouterr().err == "error: --threads, --clips and --repeats must be at least 1.\n"
