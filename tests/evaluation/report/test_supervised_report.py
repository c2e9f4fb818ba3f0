"""Tables of supervised runs beside the published rows, and the command that writes them."""

import csv
from pathlib import Path

import pytest
from score_records import content, write

from evaluation.cli.report import main
from evaluation.report.supervised_rows import PLACES, TABLES, published_sheets
from evaluation.results.supervised import read_supervised
from evaluation.results.supervised_table import supervised_table
from evaluation.statistics.published import published_directory

PUBLISHED = published_directory()
AUDIOSET = {
    "data": "audioset_20k",
    "metric": "mAP",
    "classes": 527,
    "multilabel": True,
    "clips": {"training": 18_000, "validation": 0, "test": 17_000, "missing": 7_000},
}


def audioset(seed: int, last: float, chosen_on: str = "test", **changes: object) -> dict:
    test = {
        "last": {"mAP": last, "accuracy": None, "d_prime": 2.25},
        "best": {"mAP": last + 0.01, "accuracy": None, "d_prime": 2.5, "epoch": 7, "chosen_on": chosen_on},
    }
    return {"seed": seed, "test": test, **AUDIOSET, **changes}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Fine-tunings on five folds and six seeds, pre-trained and not, and a probe of one seed."""
    for seed in range(6):
        for fold in range(5):
            last = 0.6 + seed / 100 + fold / 50
            write(tmp_path / f"p{seed}{fold}", last=last, best=last + 0.05, seed=seed, fold=f"fold0{fold}")
            write(tmp_path / f"r{seed}{fold}", last=last / 2, seed=seed, fold=f"fold0{fold}", init="random")
    write(tmp_path / "probe", mode="probe", data="digits", classes=10)
    write(tmp_path / "torn", seed=6, fold="fold03")
    return tmp_path


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_command_writes_and_shows_the_tables(runs: Path, capsys: pytest.CaptureFixture) -> None:
    out = runs / "out"
    (out / "tables").mkdir(parents=True)
    (out / "tables" / "supervised_table2.csv").write_text("of an earlier report")
    (out / "tables" / "supervised_mine.csv").write_text("the user's own")
    assert main(["--supervised", str(runs), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert {path.name for path in (out / "tables").iterdir()} == {
        "supervised_mine.csv",
        "supervised_statistics.csv",
        *(
            f"{name}.{kind}"
            for name in ("supervised", "supervised_runs", "supervised_tests")
            for kind in ("md", "csv", "tex")
        ),
    }
    assert "mw_mae_t (random init)" in shown
    assert "66.5 ± 2.0" in shown
    assert "60.0†" in shown
    assert "†: the probe's layer was chosen by the scores of the test part" in shown
    lacks = "mw_mae_t on esc50, fine-tuning, seed 6 lacks fold00, fold01, fold02, fold04"
    assert f"Left out: {lacks}." in " ".join(shown.split())
    assert f"Left out: {lacks}." in (out / "tables" / "supervised.md").read_text(encoding="utf-8")


def test_the_tables_of_runs_have_every_number(runs: Path) -> None:
    assert main(["--supervised", str(runs)]) == 0
    first, second = rows_of(runs / "tables" / "supervised.csv")
    assert first == {
        "model": "mw_mae_t",
        "digits, linear probe (accuracy)": "60.0",
        "digits, linear probe (accuracy)_mark": "†",
        "esc50, fine-tuning (accuracy)": "66.5",
        "esc50, fine-tuning (accuracy)_ci": "1.963314",
    }
    assert (second["model"], second["esc50, fine-tuning (accuracy)"]) == ("mw_mae_t (random init)", "33.25")
    probe, tuned, _ = rows_of(runs / "tables" / "supervised_runs.csv")
    assert (probe["data"], probe["seeds"], probe["folds"]) == ("digits, linear probe", "1", "1")
    assert (tuned["last epoch"], tuned["best epoch"], tuned["chosen on"]) == ("66.5", "71.5", "test")
    assert (tuned["mAP"], tuned["d'"], tuned["seeds"], tuned["folds"]) == ("50.0", "", "6", "5")
    assert tuned["clips missing"] == "0 of 400"
    (pair,) = rows_of(runs / "tables" / "supervised_tests.csv")
    assert pair["first - second"] == "+33.25"
    assert (pair["p"], pair["p (Holm)"], pair["better, seeds"]) == ("0.0312", "0.0312", "mw_mae_t")


def test_table_2_has_own_rows_below_those_they_are_of(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for seed in range(3):
        recipe = {"config": "audioset_20k:mw_mae_b", "model": "mw_mae_b"}
        write(tmp_path / f"f{seed}", **audioset(seed, 0.239 + seed / 1000, **recipe))
        heads = content(mode="probe")["heads"]
        probe = {**recipe, "mode": "probe", "heads": heads}
        write(tmp_path / f"p{seed}", **audioset(seed, 0.1 + seed / 1000, "validation", **probe))
        write(tmp_path / f"r{seed}", **audioset(seed, 0.05, **recipe, init="random"))
    assert main(["--supervised", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "Table 2: multi-window attention in the encoder too; AudioSet-20k mAP, with own rows." in shown
    assert "mw_mae_b, Linear probe (mAP): 7000 of 42000 clips missing." in shown
    text = (tmp_path / "tables" / "supervised_table2.md").read_text(encoding="utf-8")
    lines = [" ".join(line.split()) for line in text.splitlines() if line.startswith("| ")]
    assert lines == [
        "| Model | s(m) | Linear probe (mAP) | Fine-tuning (mAP) | Linear probe (mAP), best epoch |"
        " Fine-tuning (mAP), best epoch |",
        "| MAE Base | 88.1 ± 0.2 | 18.9 ± 0.0 | 23.8 ± 0.1 | | |",
        "| MW-MAE Base (decoder only) | 89.2 ± 0.2 | 20.2 ± 0.0 | 23.9 ± 0.1 | | |",
        "| > mw_mae_b | | 10.1 ± 0.2≠ | 24.0 ± 0.2 | 11.1 ± 0.2 | 25.0 ± 0.2† |",
        "| MW-MAE Base (enc+dec) | 89.1 ± 0.3 | 20.2 ± 0.0 | 24.2 ± 0.1 | | |",
        "| > mw_mae_b (random init) | | | 5.0 ± 0.0 | | 6.0 ± 0.0† |",
    ]


def test_table_5_and_those_of_audio_mae(tmp_path: Path) -> None:
    imagenet = {"data": "imagenet", "classes": 1000, "mode": "probe", "heads": content(mode="probe")["heads"]}
    clips = {"training": 1_281_167, "validation": 0, "test": 50_000, "missing": 0}
    write(tmp_path / "i", last=0.29, config="imagenet:mae_m", model="mae_m", clips=clips, **imagenet)
    whole = {"training": 1600, "validation": 0, "test": 400, "missing": 0}
    for config in ("esc50:audio_mae_b", "esc50:audio_mae_b_supervised"):
        write(tmp_path / config[6:], last=0.9, config=config, model="audio_mae_b", clips=whole)
    write(tmp_path / "a", **audioset(0, 0.37, config="audioset_20k:audio_mae_b", model="audio_mae_b"))
    sheets, left_out = published_sheets(supervised_table(read_supervised(tmp_path)), PUBLISHED)
    assert left_out == []
    rows = {sheet.name: [row[0] for row in sheet.text_rows()] for sheet in sheets}
    assert rows["supervised_table5"] == ["MAE Medium Encoder", "> mae_m", "MW-MAE Medium Encoder"]
    own = [row for row in rows["supervised_audiomae_table2"] if row.startswith((">", "Audio-MAE (local)"))]
    assert own == [
        "Audio-MAE (local)",
        "> audio_mae_b [esc50:audio_mae_b_supervised]",
        "> audio_mae_b [esc50:audio_mae_b]",
    ]
    assert rows["supervised_audiomae_table3"][:2] == ["reconstruction (L_r)", "> audio_mae_b"]
    (third,) = [sheet for sheet in sheets if sheet.name == "supervised_audiomae_table3"]
    assert third.text_rows()[1] == ["> audio_mae_b", "", "37.0", "", "38.0†"]


def test_miniatures_never_stand_beside_published_numbers(tmp_path: Path) -> None:
    tiny = {**AUDIOSET, "clips": {"training": 8, "validation": 0, "test": 4, "missing": 0}}
    recipe = {"config": "audioset_20k:mae_b", "model": "mae_b"}
    write(tmp_path / "a", **{**audioset(0, 0.2), **tiny, **recipe})
    sheets, left_out = published_sheets(supervised_table(read_supervised(tmp_path)), PUBLISHED)
    assert sheets == []
    (sentence,) = left_out
    assert sentence.startswith(
        "mae_b on audioset_20k, fine-tuning is not in table2: its data has 527 classes"
    )


def test_every_place_is_in_a_published_table() -> None:
    tables = {name: read(PUBLISHED) for name, (read, _) in TABLES.items()}
    for modes in PLACES.values():
        for place in modes.values():
            table = tables[place.table]
            assert place.column in table.columns
            assert not place.row or place.row in {row.texts["model"] for row in table.rows}


def test_hostile_names_are_text_in_every_table(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write(tmp_path / "a", data="=1+1|\x1b[31m", model="=cmd|'x'!A0", config="<script>", fold="../..")
    write(tmp_path / "b", data="=1+1|\x1b[31m", model="$\\input{x}$", fold="../..")
    assert main(["--supervised", str(tmp_path)]) == 0
    assert "\x1b" not in capsys.readouterr().out
    tables = list((tmp_path / "tables").iterdir())
    assert len(tables) == 7
    for path in tables:
        text = path.read_bytes().decode("utf-8")
        assert "\x1b" not in text
        if path.suffix == ".csv":
            cells = [cell for row in csv.reader(text.splitlines()) for cell in row]
            assert not any(cell.startswith(("=", "-1+")) for cell in cells)
        elif path.suffix == ".tex":
            assert "\\input{x}" not in text
        else:
            assert "<script>" not in text


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["--supervised", "nowhere"], "nowhere is no folder"),
        (["--supervised", "."], "holds no scores.json"),
        (["run", "--supervised", "."], "takes neither RUN nor --paper"),
        (["--paper", "--supervised", "."], "takes neither RUN nor --paper"),
    ],
)
def test_supervised_mistakes_are_one_sentence(
    line: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(line) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert sentence in error


def test_no_complete_seed_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write(tmp_path / "a", fold="fold00")
    write(tmp_path / "b", fold="fold01", seed=1)
    assert main(["--supervised", str(tmp_path)]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert "no seed has all folds of its data: mw_mae_t on esc50, fine-tuning, seed 0 lacks fold01" in error
