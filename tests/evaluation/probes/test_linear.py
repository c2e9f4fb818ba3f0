"""The head linear against scikit-learn's logistic regression, and what is said where nothing was learned."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_heareval import golden_rows
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from stored_task import QUICK, cycle, run, stored_task
from threadpoolctl import threadpool_limits

from evaluation.probes.chance import at_chance, training_score
from evaluation.probes.config import LinearConfig
from evaluation.probes.cost import regression_bytes, regression_flops
from evaluation.probes.linear import regress, standardised
from evaluation.probes.train import Regressions, Rows, as_regressed_on, train_stacks
from evaluation.runs.job import chance_notes

LINEAR = QUICK.with_head("linear")
GRID = [point.C for point in LINEAR.grid]
PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class Set:
    """Embeddings and classes of three parts; of several labels a clip has the class and the next one."""

    x: dict[str, np.ndarray]
    label: dict[str, np.ndarray]
    multilabel: bool = False

    @property
    def n_labels(self) -> int:
        return 1 + max(int(part.max()) for part in self.label.values())

    def hot(self, part: str) -> np.ndarray:
        one = np.eye(self.n_labels)[self.label[part]]
        return np.maximum(one, np.roll(one, 1, 1)) if self.multilabel else one


def synthetic(
    rows: Sequence[int],
    dim: int,
    classes: int,
    *,
    scale: float = 1.0,
    offset: float = 0.0,
    noise: float = 1.0,
    constant: int = 0,
    multilabel: bool = False,
) -> Set:
    """Make classes around random centres: correlated columns of very different spread, some constant."""
    generator = np.random.default_rng(dim)
    centres, spread = generator.normal(size=(classes, dim)), np.geomspace(1.0, 1e-3, dim)
    mix = np.eye(dim) + generator.normal(size=(dim, dim)) / np.sqrt(dim)
    x, label = {}, {}
    for part, count in zip(PARTS, rows, strict=True):
        label[part] = np.arange(count) % classes
        values = (centres[label[part]] * 2 / np.sqrt(dim) + noise * generator.normal(size=(count, dim))) @ mix
        values = np.hstack([values * spread * scale + offset, np.full((count, constant), offset + 3.7)])
        x[part] = values.astype(np.float32)
    return Set(x, label, multilabel)


def spoken_digits(shared: Path, rows: Sequence[int], scale: float = 1.0) -> Set:
    """Take rows of a real task: log-mel means of spoken digits, embedded by the original program."""
    tree = shared / "golden_heareval" / "spoken_digit"
    folds = {part: golden_rows(tree, f"fold0{i}") for i, part in enumerate(PARTS)}
    return Set(
        {part: folds[part][0][:n] * np.float32(scale) for part, n in zip(PARTS, rows, strict=True)},
        {part: np.array(folds[part][1][:n], int) for part, n in zip(PARTS, rows, strict=True)},
    )


def hidden(given: Set, width: int) -> Set:
    """Return a random layer's output for the rows: far more columns than rows, many of them alike."""
    dim = given.x["train"].shape[1]
    layer = np.random.default_rng(0).normal(size=(dim, width)).astype(np.float32) / dim
    return Set({part: np.maximum(x @ layer, 0) for part, x in given.x.items()}, given.label)


TEN: dict[str, Callable[[Path], Set]] = {
    "real, 600 clips": lambda shared: spoken_digits(shared, (600, 600, 600)),
    "real, 50 clips": lambda shared: spoken_digits(shared, (50, 300, 600)),
    "real, a millionth": lambda shared: spoken_digits(shared, (300, 300, 600), 1e-6),
    "real, 200 clips of 500 columns": lambda shared: hidden(spoken_digits(shared, (200, 200, 600)), 500),
    "synthetic, wide": lambda shared: synthetic((60, 60, 500), 400, 5),
    "synthetic, large numbers": lambda shared: synthetic((400, 200, 500), 40, 10, scale=1e6),
    "synthetic, far from zero": lambda shared: synthetic((400, 200, 500), 20, 10, offset=1e3, scale=10.0),
    "synthetic, constant columns": lambda shared: synthetic((300, 200, 500), 30, 8, offset=0.1, constant=9),
    "synthetic, many rows": lambda shared: synthetic((8000, 1000, 1000), 12, 6, noise=0.5),
    "synthetic, multilabel": lambda shared: synthetic((400, 300, 500), 30, 7, noise=0.5, multilabel=True),
}


def scikit_learns(given: Set) -> float:
    """Return its test score with C chosen on validation, of equals the smaller."""
    kind = OneVsRestClassifier if given.multilabel else (lambda one: one)

    def score(model: object, part: str) -> float:
        if not given.multilabel:
            return model.score(given.x[part], given.label[part])
        return average_precision_score(given.hot(part), model.decision_function(given.x[part]))

    target = given.hot("train") if given.multilabel else given.label["train"]
    models = [
        make_pipeline(StandardScaler(), kind(LogisticRegression(C=c, max_iter=1000))).fit(
            given.x["train"], target
        )
        for c in GRID
    ]
    scores = [score(model, "valid") for model in models]
    return score(models[int(np.argmax(scores))], "test")


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
@pytest.mark.parametrize("name", TEN)
def test_it_scores_as_scikit_learns(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    given = TEN[name](request.getfixturevalue("shared") if name.startswith("real") else tmp_path)
    names = [f"c{i:02}" for i in range(given.n_labels)]
    clips = {
        part: [tuple(names[i] for i in np.flatnonzero(row)) for row in given.hot(part)] for part in PARTS
    }
    kind, primary = ("multilabel", "mAP") if given.multilabel else ("multiclass", "top1_acc")
    task, entry = stored_task(
        tmp_path, clips, x=given.x, labels=names, prediction_type=kind, evaluation=(primary,)
    )
    job, ledger = run(tmp_path, task, entry, preset=LINEAR, seeds=1)
    (ours,) = job.seed_scores(ledger)
    with threadpool_limits(1):
        theirs = scikit_learns(given)
    assert theirs > 1.5 / given.n_labels, "a set that nobody can learn compares nothing"
    assert ours == pytest.approx(theirs, abs=0.02)
    assert not job.chance_sentence(ledger)


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize(("rows", "dim"), [(90, 20), (30, 70)])
@pytest.mark.parametrize("c", [1e-4, 0.1, 10.0])
def test_it_is_the_same_minimum(multilabel: bool, rows: int, dim: int, c: float) -> None:
    given = synthetic((rows, 10, 40), dim, 4, constant=2, multilabel=multilabel)
    scaler = StandardScaler().fit(given.x["train"])
    target = given.hot("train") if multilabel else given.label["train"]
    model = LogisticRegression(C=c, tol=1e-8, max_iter=10_000)
    model = OneVsRestClassifier(model) if multilabel else model
    expected = model.fit(scaler.transform(given.x["train"]), target).decision_function(
        scaler.transform(given.x["test"])
    )
    train, test = standardised(*(torch.from_numpy(given.x[part]) for part in ("train", "test")))
    assert train.shape[1] == min(rows, dim + 2), "few rows span few columns"
    found = regress(train, torch.from_numpy(given.hot("train")), LinearConfig(c), multilabel=multilabel)
    logits = found.logits(test).numpy()
    if not multilabel:  # a number added to all logits of a row changes nothing
        logits = logits - logits.mean(1, keepdims=True)
        expected = expected - expected.mean(1, keepdims=True)
    np.testing.assert_allclose(logits, expected, atol=2e-3 * max(1.0, np.abs(expected).max()))


def test_only_training_rows_make_the_scale_and_constant_columns_count_nowhere() -> None:
    train = torch.tensor([[1.0, 5.0, 1e30], [3.0, 5.0, -1e30], [5.0, 5.0, 1e30], [5.0, 5.0, 1e30]])
    test = torch.tensor([[3.5, 9.0, 3e38], [3.5, -9.0, -3e38]])
    ours, others = standardised(train, test)
    np.testing.assert_allclose(ours, StandardScaler().fit_transform(train.double()), atol=1e-6)
    assert torch.isfinite(others).all()
    hot = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    found = regress(ours, hot, LinearConfig(1.0), multilabel=False)
    assert found.weights[1].abs().max() == 0
    assert found.logits(others).argmax(1).tolist() == [0, 1]


def test_a_class_without_training_rows_does_no_harm() -> None:
    given = synthetic((60, 10, 40), 8, 3)
    x, test = standardised(*(torch.from_numpy(given.x[part]) for part in ("train", "test")))
    wider = np.hstack([given.hot("train"), np.zeros((60, 1))])
    for multilabel in (False, True):
        found = regress(x, torch.from_numpy(wider), LinearConfig(1.0), multilabel=multilabel)
        assert not (found.logits(test).argmax(1) == 3).any()


def test_threads_and_company_change_no_bit() -> None:
    given, before = synthetic((300, 40, 40), 30, 6), torch.get_num_threads()
    parts = [Rows(torch.from_numpy(given.x[p]), torch.from_numpy(given.label[p])) for p in PARTS]

    def results(points: Sequence[float], threads: int) -> list[np.ndarray]:
        torch.set_num_threads(threads)
        alone = [
            Regressions([LinearConfig(c)], lambda: as_regressed_on(*parts), 6, lambda logits: 0.0)
            for c in points
        ]
        found = {one.number: one.results[0].test_logits for one in train_stacks(alone, threads)}
        return [found[i] for i in range(len(points))]

    try:
        together, again = results([1e-3, 0.1, 10.0], 3), results([10.0], 1)
        assert np.array_equal(together[2], again[0])
    finally:
        torch.set_num_threads(before)


def test_the_cost_by_hand() -> None:
    sizes = {"train": 30, "valid": 5, "test": 7, "dim": 20, "n_labels": 3}
    assert regression_flops(**sizes, epochs=4) == 2 * 20 * 3 * (2 * 4 * 30 + 5 + 7)
    wide = sizes | {"dim": 100}
    assert regression_flops(**wide, epochs=4) == 2 * 30 * 3 * (2 * 4 * 30 + 5 + 7), "in the rows' span"
    assert regression_bytes(**wide) == regression_bytes(**wide | {"dim": 10_000})


def test_chance_is_what_the_classes_frequencies_give() -> None:
    target = np.array([0, 0, 0, 1, 2])
    assert training_score(target, np.eye(3)[[0] * 5]) == (0.6, 0.6)
    assert training_score(target, np.eye(3)[target]) == (1.0, 0.6)
    hot = np.eye(3)[target]
    score, chance = training_score(hot, np.zeros((5, 3)))
    assert score == pytest.approx(chance) == pytest.approx(1 / 3)
    assert at_chance(score, chance)
    assert at_chance(0.6, 0.6)
    assert at_chance(float("nan"), 0.6)
    assert not at_chance(0.61, 0.6)
    assert not at_chance(None, None)


@pytest.mark.parametrize("head", ["mlp", "linear"])
@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_what_has_learned_nothing_is_told(tmp_path: Path, head: str, kind: str) -> None:
    clips = {"train": cycle(31), "valid": cycle(12), "test": cycle(15)}
    alike = {part: np.ones((len(rows), 4)) for part, rows in clips.items()}
    task, entry = stored_task(tmp_path, clips, x=alike, prediction_type=kind)
    preset = QUICK.with_head(head)
    job, ledger = run(tmp_path, task, entry, preset=preset, seeds=1)
    assert job.at_chance(ledger) == "1 of 1"
    assert job.chance_sentence(ledger).startswith(
        "model on stored-v1-full: 1 of 1 classifiers are at or below"
    )
    (note,) = chance_notes([job], ledger)
    assert note.startswith(
        "model: at or below chance on the very clips that trained them are the classifiers of "
    )
    assert "stored-v1-full (1 of 1)" in note
    learnable = stored_task(tmp_path / "b", clips, prediction_type=kind)
    job, ledger = run(tmp_path / "b", *learnable, preset=preset, seeds=1)
    assert not job.chance_sentence(ledger)
