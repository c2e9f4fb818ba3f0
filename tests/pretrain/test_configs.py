"""The runs of the paper's tables: their models, published numbers, costs, and CPU-size variants."""

import csv
import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from hear_mwmae.config import ModelConfig, named_model
from hear_mwmae.errors import UserError
from hear_mwmae.pretrain.configs import SETS, TABLES, Run, find_run, tiny_run
from hear_mwmae.pretrain.configs.__main__ import cost_table, run_flops
from hear_mwmae.pretrain.settings import TrainConfig
from hear_mwmae.pretrain.training.cost import parameter_count, train_flops_per_crop

ALL = {f"{table}:{name}": run for table, module in TABLES.items() for name, run in module.RUNS.items()}
# Columns that together name a row of a published table, and their form in `Run.row`.
ROW_NAMES = {
    "table1": "{model}",
    "table2": "{model}",
    "table5": "{model}",
    "table7": "{patch_size} {model}",
    "table8": "{encoder} {model}",
    "table9": "Depth {decoder_depth} {model}",
    "table10": "{pretrain_data} {model}",
}


def published_rows(shared: Path, table: str) -> dict[str, dict[str, str]]:
    with (shared / "published" / f"{table}.csv").open(newline="", encoding="utf-8") as file:
        return {ROW_NAMES[table].format(**row): row for row in csv.DictReader(file)}


def test_all_rows_of_the_paper_take_37_different_runs() -> None:
    # 10 of Table 7, then 8, 6 and 8 more of Tables 8 to 10, two in Table 1, one in Table 2, two in Table 5.
    assert len({run.train for run in ALL.values()}) == 10 + 8 + 6 + 8 + 2 + 1 + 2


@pytest.mark.parametrize("table", TABLES)
def test_every_published_row_and_score_is_there(shared: Path, table: str) -> None:
    rows = published_rows(shared, table)
    if table == "table1":
        rows = {
            name: row for name, row in rows.items() if row["group"] in ("mae", "mwmae") and name != "AudioMAE"
        }
    runs = {run.row: run for run in TABLES[table].RUNS.values()}
    assert runs.keys() == rows.keys()
    for name, run in runs.items():
        assert run.published == {metric: float(rows[name][metric]) for metric in run.published}
        scores = {
            metric for metric in rows[name] if metric.startswith(("s(m)", "linear", "finetune", "imagenet"))
        }
        assert run.published.keys() == scores


def test_patch_sizes_give_the_published_tokens_and_heads(shared: Path) -> None:
    rows = published_rows(shared, "table7")
    for run in TABLES["table7"].RUNS.values():
        model, row = run.train.model, rows[run.row]
        assert model.patch_size == tuple(map(int, row["patch_size"].split("x")))
        assert (model.tokens, model.decoder_heads) == (int(row["n_patches"]), int(row["decoder_heads"]))


@pytest.mark.parametrize("name", ALL)
def test_only_what_a_row_is_about_departs_from_the_default(name: str) -> None:
    train = ALL[name].train
    assert train == TrainConfig(train.model, data_fraction=train.data_fraction)
    is_mw_mae = name.split(":")[1].startswith("mw_mae")
    assert bool(train.model.decoder_windows) == is_mw_mae != train.model.class_token
    assert ("MW-MAE" in ALL[name].row) == is_mw_mae


@pytest.mark.parametrize("name", TABLES["table1"].RUNS)
def test_table_1_trains_the_models_of_the_hear_modules(name: str) -> None:
    run = TABLES["table1"].RUNS[name]
    assert run.train.model == named_model(name).config
    assert run.row == named_model(name).row


def test_small_runs_depart_from_the_bundled_ones_in_one_thing() -> None:
    runs = SETS["small"].RUNS
    recipe = {
        (r.train.batch_size, r.train.base_learning_rate, r.train.precision, r.clips) for r in runs.values()
    }
    assert len(recipe) == 1
    crops = {round(r.train.epochs * r.train.crops_per_clip, 9) for r in runs.values()}
    warm_up = {round(r.train.warmup_epochs * r.train.crops_per_clip, 9) for r in runs.values()}
    assert len(crops) == len(warm_up) == 1
    for name in ("mae_t", "mw_mae_t"):
        base, table8 = runs[name].train.model, named_model(name).config
        decoder = {"decoder_width": base.decoder_width, "decoder_depth": base.decoder_depth}
        assert base == dataclasses.replace(table8, **decoder)
        for other in (run.train for key, run in runs.items() if key.startswith(f"{name}_")):
            changed = {
                field.name
                for field in dataclasses.fields(base)
                if getattr(other.model, field.name) != getattr(base, field.name)
            }
            changed |= {"data_fraction"} if other.data_fraction < 1 else set()
            changed |= {"crops_per_clip"} if other.crops_per_clip > 1 else set()
            assert len(changed - {"decoder_windows", "decoder_heads"}) == 1


def test_equal_rows_of_different_tables_are_one_run() -> None:
    names = ("table1:mw_mae_b", "table2:mw_mae_b", "table7:mw_mae_4x16", "table8:mw_mae_b",
             "table9:mw_mae_4_blocks", "table10:mw_mae_100_percent")  # fmt: skip
    assert len({find_run(name).train for name in names}) == 1
    assert find_run("table8:mae_t").train.model == named_model("mae_t").config


def test_windows_of_the_encoder_divide_both_counts() -> None:
    model = find_run("table2:mw_mae_b_encoder").train.model
    assert (model.kept_tokens, model.tokens) == (50, 250)
    assert len(model.encoder_windows) == model.heads == 12
    assert all(window == 0 or (50 % window == 0 and 250 % window == 0) for window in model.encoder_windows)
    assert {window for window in range(2, 251) if 50 % window == 0 == 250 % window} | {0} == set(
        model.encoder_windows
    )


def test_pictures_are_cut_into_square_patches() -> None:
    model = find_run("table5:mw_mae_m").train.model
    assert model.grid == (14, 14)
    assert model.decoder_windows == (2, 4, 7, 14, 28, 49, 98, 0, 0)
    assert find_run("table5:mae_m").train.model.decoder_heads == 9


@pytest.mark.parametrize("table", SETS)
def test_docstrings_state_the_cost_that_we_compute(table: str) -> None:
    assert cost_table(table) in SETS[table].__doc__
    assert f"--config {table}:" in SETS[table].__doc__


def test_the_cost_of_a_run_counts_its_steps() -> None:
    run = find_run("table1:mw_mae_b")
    # 198 400 steps of 1024 crops, as in the released schedule.
    assert run_flops(run) == 198_400 * 1024 * train_flops_per_crop(run.train.model)
    assert run_flops(find_run("table10:mw_mae_10_percent")) == pytest.approx(run_flops(run) / 10, rel=3e-3)


@pytest.mark.parametrize("name", ALL)
def test_a_tiny_run_is_small_and_keeps_what_the_row_is_about(name: str) -> None:
    run, tiny = ALL[name], find_run(name, tiny=True)
    model, small = run.train.model, tiny.train.model
    assert parameter_count(small).total < 2e6
    assert 16 * train_flops_per_crop(small) < 5e10
    assert not tiny.published
    assert tiny.train.precision == "float32"
    for field in ("patch_size", "input_size", "class_token", "heads", "decoder_heads", "decoder_windows",
                  "encoder_windows", "mask_ratio", "kept_tokens"):  # fmt: skip
        assert getattr(small, field) == getattr(model, field), field
    assert tiny.train.data_fraction == run.train.data_fraction
    # Sine-cosine codes: two axes of two functions in the encoder, one axis in the decoder.
    assert small.width % 4 == small.decoder_width % 2 == 0


def test_tiny_runs_of_a_table_stay_in_order() -> None:
    def size(name: str) -> int:
        return parameter_count(find_run(name, tiny=True).train.model).total

    assert size("table8:mae_t") < size("table8:mae_m") < size("table8:mae_b") < size("table8:mae_l")
    assert size("table9:mae_2_blocks") < size("table9:mae_4_blocks") < size("table9:mae_8_blocks")


@pytest.mark.parametrize("name", ["table7", "table6:mae_b", "mw_mae_b", "table7:mw_mae_3x3", ""])
def test_an_unknown_run_is_refused_with_the_choices(name: str) -> None:
    choices = "table7:mw_mae_5x5" if name.startswith("table7") else "table1, table2"
    with pytest.raises(UserError, match=choices):
        find_run(name)


def test_a_tiny_run_of_an_own_model_follows_the_same_rule() -> None:
    run = Run(TrainConfig(ModelConfig(decoder_depth=1)), "own", {"s(m)": 1.0}, clips=100)
    assert tiny_run(run).train.model.decoder_depth == 1
    assert run.clips_used == 100


def test_the_list_of_runs_is_printed_without_jax_or_torch() -> None:
    program = (
        "import sys; from hear_mwmae.pretrain.configs.__main__ import main; main([]);"
        "print(sorted({'jax', 'torch', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in ALL)
    assert done.stdout.endswith("[]\n")
