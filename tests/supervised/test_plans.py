"""Which clips an epoch takes and what varies them: against slow definitions, for any hosts."""

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import golden_audio_mae
import numpy as np
import pytest
from golden_audio_mae import needs_golden

from hear_mwmae.config import AUDIO_MAE_B
from hear_mwmae.errors import UserError
from hear_mwmae.supervised.data.labels import LabelledClip, LabelledData
from hear_mwmae.supervised.data.plans import EvaluationPlan, LabelledPlan, Row, Take
from hear_mwmae.supervised.data.sampling import (
    EpochOrders,
    balanced,
    clip_weights,
    drawn_without_replacement,
    epoch_clips,
)
from hear_mwmae.supervised.settings import SupervisedConfig

ALL_ON: dict[str, Any] = {
    "roll": True,
    "gain": True,
    "mixup": 0.5,
    "loss": "bce",
    "specaug_bands": 48,
    "specaug_frames": 192,
    "noise_db": 20.0,
}


def data_of(labels: list[tuple[int, ...]]) -> LabelledData:
    clips = tuple(LabelledClip(f"{n}", Path(f"{n}.wav"), of_clip) for n, of_clip in enumerate(labels))
    classes = tuple("abcdefgh")
    return LabelledData("own", classes, multilabel=True, training=clips, validation=(), test=())


def config_of(**options: Any) -> SupervisedConfig:
    return SupervisedConfig(model=AUDIO_MAE_B, **({"batch_size": 8, "seed": 3} | options))


def plan_of(clips: int = 21, index: int = 0, hosts: int = 1, **options: Any) -> LabelledPlan:
    labels = [(number % 3,) for number in range(clips)]
    return LabelledPlan(data_of(labels), config_of(**options), index, hosts)


def test_each_clip_comes_once_in_an_epoch_but_for_a_changing_remainder() -> None:
    plan, left_out = plan_of(), []
    assert plan.steps_per_epoch == 2
    for epoch in range(6):
        taken = np.concatenate([plan.clips_of(2 * epoch), plan.clips_of(2 * epoch + 1)])
        assert len(taken) == len(set(taken)) == 16
        left_out.append(set(range(21)) - set(taken))
    assert len(set().union(*left_out)) > 10
    assert not np.array_equal(plan.clips_of(0), plan.clips_of(2))
    assert not np.array_equal(plan.clips_of(0), plan_of(seed=4).clips_of(0))


def test_weights_are_the_sum_over_a_clips_classes() -> None:
    weights = clip_weights([(0,), (0, 2), (), (2,), (0,)])
    assert weights == pytest.approx([1000 / 3.01, 1000 / 3.01 + 1000 / 2.01, 0, 1000 / 2.01, 1000 / 3.01])


@needs_golden
def test_weights_are_the_released_ones() -> None:
    arrays = golden_audio_mae.load("recipe")
    labels = [tuple(np.flatnonzero(row).tolist()) for row in arrays["gen_weight/labels"]]
    np.testing.assert_allclose(
        clip_weights(labels), arrays["gen_weight/sample_weight"], rtol=1e-12, atol=1e-9
    )


def test_what_is_drawn_without_replacement_repeats_nothing_and_leaves_weight_0_for_last() -> None:
    weights = np.array([5.0, 0, 1, 1000, 1e-3, 0])
    for epoch in range(20):
        drawn = drawn_without_replacement(weights, 6, np.random.default_rng(epoch))
        assert sorted(drawn) == list(range(6))
        assert set(drawn[-2:]) == {1, 5}
    assert len(drawn_without_replacement(weights, 2, np.random.default_rng(0))) == 2


def test_what_is_drawn_without_replacement_is_drawn_one_after_another_by_weight() -> None:
    weights = np.array([1.0, 2, 3, 6])
    generator, draws = np.random.default_rng(0), 20000
    found = Counter(tuple(drawn_without_replacement(weights, 2, generator).tolist()) for _ in range(draws))
    for first, second in itertools.permutations(range(4), 2):
        left = weights.sum() - weights[first]
        share = weights[first] / weights.sum() * weights[second] / left
        deviation = (share * (1 - share) / draws) ** 0.5
        assert abs(found[first, second] / draws - share) < 5 * deviation


def test_an_epoch_by_weight_favours_rare_classes_and_is_drawn_afresh_in_random_order() -> None:
    labels = [(0,)] * 60 + [(1,)] * 6
    orders = EpochOrders(data_of(labels), config_of(sampling="weighted", clips_per_epoch=16))
    epochs = [orders.of(epoch) for epoch in range(300)]
    assert all(len(order) == len(set(order)) == 16 for order in epochs)
    assert not np.array_equal(epochs[0], epochs[1])
    rare = np.stack(epochs) >= 60
    assert 4 < rare.sum(axis=1).mean() < 6
    # The same share at the beginning of an epoch as at its end; five deviations of 300 x 8 draws.
    assert abs(rare[:, :8].mean() - rare[:, 8:].mean()) < 5 * (2 * 0.25 / 2400) ** 0.5


def test_weighted_without_a_number_takes_all_clips_with_labels() -> None:
    data, config = data_of([(0,)] * 9 + [()]), config_of(sampling="weighted", batch_size=3)
    assert epoch_clips(data, config) == 9
    assert sorted(EpochOrders(data, config).of(0)) == list(range(9))


def test_balanced_repeats_whole_copies_and_a_random_part_up_to_half_of_the_largest() -> None:
    labels = [(1,)] * 21 + [(0,)] * 3 + [(4,)] * 12 + [(2,)] * 4
    config = config_of(sampling="balanced")
    assert epoch_clips(data_of(labels), config) == 21 + 10 + 12 + 10
    orders, parts = EpochOrders(data_of(labels), config), []
    for epoch in range(8):
        counts = Counter(orders.of(epoch).tolist())
        assert [counts[n] for n in [*range(21), *range(24, 36)]] == [1] * 33
        # 3 clips up to 10: three copies and one clip more; 4 clips: two copies and two more.
        assert sorted(counts[n] for n in range(21, 24)) == [3, 3, 4]
        assert sorted(counts[n] for n in range(36, 40)) == [2, 2, 3, 3]
        parts.append(tuple(counts[n] for n in range(36, 40)))
    assert len(set(parts)) > 2
    assert len(balanced(labels, np.random.default_rng(0))) == 53


def test_samplings_that_the_labels_do_not_allow_are_refused() -> None:
    with pytest.raises(
        UserError, match=r"'balanced' repeats classes, .* several labels or none; take 'weighted'"
    ):
        epoch_clips(data_of([(0,), (0, 1)]), config_of(sampling="balanced"))
    with pytest.raises(UserError, match=r"clips_per_epoch 3 is beyond the 2 clips with labels.* or set 0"):
        epoch_clips(data_of([(0,), (), (1,)]), config_of(sampling="weighted", clips_per_epoch=3))


@pytest.mark.parametrize(
    ("sampling", "labels"),
    [("each", []), ("each", [()]), ("weighted", []), ("weighted", [()]), ("balanced", [])],
)
def test_clips_without_labels_fill_no_batch(sampling: str, labels: list[tuple[int, ...]]) -> None:
    with pytest.raises(UserError, match=r"[01] inputs are too few for one batch of 8"):
        LabelledPlan(data_of(labels), config_of(sampling=sampling), 0, 1)


def test_a_batch_that_hosts_do_not_divide_is_refused() -> None:
    with pytest.raises(UserError, match="A batch of 8 is no multiple of the 3 hosts; change --batch-size"):
        plan_of(hosts=3)


def without_generator(row: Row) -> tuple:
    """What can be compared of a row: its noise as cells."""
    hiding = row.hiding and (row.hiding.bands, row.hiding.frames, *row.hiding.draws.tolist())
    noise = row.noise and row.noise(np.ones((2, 3), np.float32)).tolist()
    return row.first, row.second, row.share, hiding, noise


@pytest.mark.parametrize("hosts", [2, 4])
@pytest.mark.parametrize("options", [ALL_ON, ALL_ON | {"ast_noise": True}, {"sampling": "weighted"}])
def test_hosts_share_the_rows_of_the_same_batches(hosts: int, options: dict[str, Any]) -> None:
    alone, parts = plan_of(**options), [plan_of(index=h, hosts=hosts, **options) for h in range(hosts)]
    assert {part.most_rows for part in parts} == {8 // hosts}
    for step in range(5):
        whole = [without_generator(row) for row in alone.rows_of(step)]
        assert whole == [without_generator(row) for part in parts for row in part.rows_of(step)]
        assert whole == [without_generator(row) for row in alone.rows_of(step)]


@pytest.mark.parametrize("name", ["roll", "gain", "mixup", "specaug_bands", "noise_db", "ast_noise"])
def test_to_switch_one_off_changes_no_other_draw(name: str) -> None:
    every = {"ast_noise": name == "ast_noise"} | ALL_ON
    off = config_of(**(every | {name: type(every[name])(0)}))
    data = data_of([(0,)] * 21)
    plans = LabelledPlan(data, config_of(**every), 0, 1), LabelledPlan(data, off, 0, 1)
    cells = np.ones((2, 3), np.float32)
    for step in range(3):
        for varied, plain in zip(*(plan.rows_of(step) for plan in plans), strict=True):
            assert varied.first.clip == plain.first.clip
            assert name == "roll" or varied.first.start == plain.first.start > 0
            assert name == "gain" or varied.first.gain == plain.first.gain != 1
            if name != "mixup":
                assert (varied.second and varied.second.clip) == (plain.second and plain.second.clip)
                assert varied.share == plain.share
            assert plain.hiding
            assert varied.hiding
            if not name.endswith(("noise", "noise_db")):
                assert varied.noise
                assert plain.noise
                assert np.array_equal(varied.noise(cells), plain.noise(cells))
            wanted = slice(2, 4) if name == "specaug_bands" else slice(4)
            assert np.array_equal(varied.hiding.draws[wanted], plain.hiding.draws[wanted])


def test_nothing_varies_without_being_asked_for() -> None:
    plan = plan_of()
    for row, clip in zip(plan.rows_of(1), plan.clips_of(1), strict=True):
        assert row == Row(Take(int(clip)))


def test_variations_have_the_distributions_that_are_stated() -> None:
    plan = plan_of(clips=64, batch_size=64, **ALL_ON)
    rows = [row for step in range(60) for row in plan.rows_of(step)]
    mixtures = [row for row in rows if row.second]
    assert abs(len(mixtures) / len(rows) - 0.5) < 5 * (0.25 / len(rows)) ** 0.5
    shares, gains = np.array([row.share for row in mixtures]), np.array([row.first.gain for row in rows])
    # Beta(10, 10): mean 1/2, variance 1 / 84.
    assert abs(shares.mean() - 0.5) < 5 * (1 / 84 / len(shares)) ** 0.5
    assert shares.var() * 84 == pytest.approx(1, rel=0.15)
    assert abs(gains.mean() - 1) < 5 * (1 / 84 / len(gains)) ** 0.5
    starts = np.array([row.first.start for row in rows])
    assert abs(starts.mean() - 0.5) < 5 * (1 / 12 / len(starts)) ** 0.5
    partners = Counter(row.second.clip for row in mixtures if row.second)
    assert len(partners) == 64
    assert any(row.second.clip == row.first.clip for row in mixtures if row.second)
    second = np.array([row.second.start for row in mixtures if row.second])
    assert abs(np.corrcoef(second, [row.first.start for row in mixtures])[0, 1]) < 5 / len(second) ** 0.5
    hidings = np.stack([row.hiding.draws for row in rows if row.hiding])
    assert hidings.dtype == np.float32
    assert np.abs(np.corrcoef(hidings.T) - np.eye(4)).max() < 5 / len(rows) ** 0.5


def test_noise_as_in_ast_takes_the_place_of_white_noise_and_moves_by_10_earlier_to_9_later() -> None:
    plan = plan_of(clips=64, batch_size=64, ast_noise=True, noise_db=20.0)
    noises = [row.noise for step in range(30) for row in plan.rows_of(step)]
    assert {noise.shift for noise in noises} == set(range(-10, 10))
    levels = np.array([noise.level for noise in noises])
    assert levels.min() >= 0
    assert abs(levels.mean() - 0.5) < 5 * (1 / 12 / len(levels)) ** 0.5


def test_an_evaluation_takes_every_clip_in_order() -> None:
    plan = EvaluationPlan(7, 3)
    assert (plan.steps, plan.most_rows) == (3, 3)
    assert [[row.first.clip for row in plan.rows_of(step)] for step in range(3)] == [
        [0, 1, 2],
        [3, 4, 5],
        [6],
    ]
    assert plan.rows_of(0)[0] == Row(Take(0))
    assert EvaluationPlan(0, 3).steps == 0
