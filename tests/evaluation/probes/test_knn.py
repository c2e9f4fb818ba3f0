"""Nearest neighbours against scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from evaluation.probes import knn
from evaluation.probes.config import KnnConfig
from evaluation.probes.knn import nearest_logits, neighbour_shares


@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(1, 30), st.integers(1, 12))
def test_shares_are_scikit_learns_probabilities(seed: int, train: int, rows: int, dim: int) -> None:
    generator = np.random.default_rng(seed)
    x, queries = generator.normal(size=(train, dim + 1)), generator.normal(size=(rows, dim + 1))
    label = generator.integers(0, 4, train)
    label[:2] = 0, 3
    ks = [k for k in (1, 5, 10, 50) if k <= train]
    target = torch.nn.functional.one_hot(torch.from_numpy(label), 4).float()
    found = neighbour_shares(torch.from_numpy(x), target, torch.from_numpy(queries), ks)
    for k, shares in zip(ks, found, strict=True):
        reference = KNeighborsClassifier(k, metric="cosine", algorithm="brute").fit(x, label)
        expected = reference.predict_proba(queries)
        np.testing.assert_allclose(shares[:, reference.classes_], expected, atol=1e-6)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    x, target = torch.randn(40, 6, generator=generator), torch.randint(0, 2, (40, 3), generator=generator)
    whole = neighbour_shares(x, target.float(), x, [1, 5])
    monkeypatch.setattr(knn, "BLOCK_BYTES", 1.0)
    assert torch.equal(neighbour_shares(x, target.float(), x, [1, 5]), whole)


def test_zeros_constant_rows_and_more_neighbours_than_rows_are_defined() -> None:
    target = torch.eye(3)[[0, 1, 1, 2]]
    zeros = neighbour_shares(torch.zeros(4, 2), target, torch.zeros(2, 2), [1, 50])
    assert zeros[0].tolist() == [[1, 0, 0]] * 2, "of equals the first counts"
    assert zeros[1].tolist() == [[0.25, 0.5, 0.25]] * 2
    constant = neighbour_shares(torch.ones(4, 2), target, torch.full((1, 2), 3.0), [1])
    assert constant[0].tolist() == [[1, 0, 0]]


def test_logits_give_the_shares_back() -> None:
    shares = torch.tensor([[0.2, 0.8, 0.0], [1.0, 0.0, 0.0]])
    torch.testing.assert_close(nearest_logits(shares, multilabel=False).softmax(1), shares, atol=3e-6, rtol=0)
    torch.testing.assert_close(nearest_logits(shares, multilabel=True).sigmoid(), shares, atol=3e-6, rtol=0)


@pytest.mark.parametrize("k", [0, 1.5, True])
def test_k_is_a_count(k: object) -> None:
    with pytest.raises(ValueError, match="whole number"):
        KnnConfig(k)
