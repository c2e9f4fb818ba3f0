"""HEAR's fold rule against its published vectors and the divisions its own programs made."""

import json
import tarfile
from pathlib import Path

import pandas as pd
import pytest
from paths import SHARED

from tasks.errors import TaskError
from tasks.hear.folds import new_folds, permuted, shuffled, subsampled

GOLDEN = SHARED / "golden_heareval" / "spoken_digit"
ARCHIVE = SHARED / "data" / "hear_mini" / "hear-2021.0.6-spoken_digit-1.0.9-small-44100.tar.gz"


@pytest.mark.parametrize(
    ("seed", "order"),
    [
        ("split_k_folds", "5379241680"),
        ("split_k_folds_retry_0", "3842659107"),
        ("split_train_test_val", "4895736102"),
    ],
)
def test_shuffle_vectors_of_the_protocol(seed, order):
    assert "".join(shuffled("0123456789", seed)) == order
    assert "".join(shuffled("9876543210" * 2, seed)) == order


@pytest.mark.parametrize(
    ("split", "seed"),
    [("train", 3488948419), ("valid", 3511819133), ("test", 2920447107), ("fold04", 1642250788)],
)
def test_subsampling_is_that_of_pandas_with_the_protocols_seeds(split, seed):
    stems = [f"clip{i:03d}" for i in range(200)]
    drawn = pd.Series(stems).sample(frac=1, random_state=seed)[:30]
    assert subsampled(stems[::-1], split, 30) == list(drawn)
    assert sorted(subsampled(stems, split, 500)) == stems


def test_the_order_of_all_rows_has_the_protocols_seed():
    order = pd.Series(range(500)).sample(frac=1, random_state=2558623514)
    assert permuted(500, "postprocess_all_metadata") == list(order)


def test_parts_differ_by_one_key_at_most_and_the_first_are_larger():
    folds = new_folds({f"{i:02d}": ("a",) for i in range(13)}, 5)
    assert list(folds) == ["fold00", "fold01", "fold02", "fold03", "fold04"]
    assert [len(keys) for keys in folds.values()] == [3, 3, 3, 2, 2]
    assert sorted(key for keys in folds.values() for key in keys) == [f"{i:02d}" for i in range(13)]


def test_a_fold_that_lacks_a_label_is_drawn_again_with_the_next_seed():
    """The first draw pairs 53 79 24 16 80, so fold00 lacks x; the second pairs 38 42 65 91 07."""
    labels = {key: ("x" if key in "82690" else "y",) for key in "0123456789"}
    assert new_folds(labels, 5) == {
        "fold00": ("3", "8"),
        "fold01": ("4", "2"),
        "fold02": ("6", "5"),
        "fold03": ("9", "1"),
        "fold04": ("0", "7"),
    }
    assert new_folds(labels, 5, every_label=False)["fold00"] == ("5", "3")


def test_a_label_with_fewer_clips_than_folds_is_an_error_that_names_it():
    with pytest.raises(TaskError, match="'rare'"):
        new_folds({**{str(i): ("common",) for i in range(20)}, "r": ("rare",)}, 5)


@pytest.mark.skipif(not GOLDEN.exists(), reason="the golden files are not here")
def test_folds_of_3000_spoken_digits_are_those_of_the_golden_files():
    golden = {f"fold0{i}": json.loads((GOLDEN / f"fold0{i}.json").read_text()) for i in range(5)}
    labels = {name[:-4]: (str(v[0]),) for entries in golden.values() for name, v in entries.items()}
    assert len(labels) == 3000
    folds = new_folds(labels)
    assert {f: sorted(f"{key}.wav" for key in keys) for f, keys in folds.items()} == {
        fold: list(entries) for fold, entries in golden.items()
    }


@pytest.mark.skipif(not ARCHIVE.exists(), reason="HEAR's own prepared archive is not here")
def test_folds_of_hears_small_spoken_digit_archive():
    with tarfile.open(ARCHIVE) as archive:
        members = [m for m in archive.getmembers() if "/fold0" in m.name and m.name.endswith(".json")]
        theirs = {Path(m.name).stem: json.load(archive.extractfile(m)) for m in members}
    assert len(theirs) == 5
    labels = {name[:-4]: (str(v[0]),) for entries in theirs.values() for name, v in entries.items()}
    folds = new_folds(labels, every_label=False)
    for fold, keys in folds.items():
        assert sorted(f"{key}.wav" for key in keys) == list(theirs[fold])
