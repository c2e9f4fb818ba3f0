"""The one rule of which fits of a model on a task there are, and which of them count."""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.probes.splits import best_config
from evaluation.results.ledger import FitKey, FitRecord, Ledger
from evaluation.results.score_table import Column


@dataclass(frozen=True)
class PlannedJob:
    """One model on one task, as far as its results need it; all of it is JSON.

    `tests` are the parts tested on, the grid is searched on the first; `points` are the grid's keys and
    `orders` holds, per seed, the positions in `points` that it tries, the earlier of which wins ties. `seeds`
    are 0, 1, ... where an older run.json does not name them. `embedding` is "" while they are missing.
    """

    model: str
    column: Column
    embedding: str
    tests: Sequence[str]
    points: Sequence[str]
    orders: Sequence[Sequence[int]]
    minimised: bool
    seeds: Sequence[int] = ()

    def ordered(self) -> list[tuple[int, Sequence[int]]]:
        """Return every seed with the positions of the grid points that it tries."""
        return list(zip(self.seeds or range(len(self.orders)), self.orders, strict=True))

    @property
    def n_fits(self) -> int:
        """How many classifiers the whole job trains."""
        return sum(map(len, self.orders)) + len(self.orders) * (len(self.tests) - 1)

    def key(self, test: str, point: str, seed: int) -> FitKey:
        """Return the ledger's name of one fit."""
        return FitKey(self.embedding, test, point, seed, self.column.budget)

    def done(self, ledger: Ledger) -> set[FitKey]:
        """Return the fits of this job that the ledger holds."""
        keys = {
            self.key(self.tests[0], self.points[index], seed)
            for seed, order in self.ordered()
            for index in order
        }
        chosen = zip(self.ordered(), self.chosen(ledger), strict=True)
        keys |= {self.key(test, at, seed) for (seed, _), at in chosen if at for test in self.tests[1:]}
        return {key for key in keys if key in ledger}

    def chosen(self, ledger: Ledger) -> list[str | None]:
        """Return every seed's best grid point on the first part; None while its grid is not finished."""
        best: list[str | None] = []
        for seed, order in self.ordered():
            points = [self.points[index] for index in order]
            keys = {point: self.key(self.tests[0], point, seed) for point in points}
            done = all(key in ledger for key in keys.values())
            scores = {point: ledger[key].validation_score for point, key in keys.items()} if done else {}
            best.append(best_config(points, scores, minimise=self.minimised) if done else None)
        return best

    def seed_records(self, ledger: Ledger) -> list[list[FitRecord]] | None:
        """Return, per seed, the fit that counts on every part; None while any is missing."""
        best = self.chosen(ledger)
        chosen = [point for point in best if point is not None]
        if len(chosen) < len(best):
            return None
        seeds = [seed for seed, _ in self.ordered()]
        pairs = zip(seeds, chosen, strict=True)
        keys = [[self.key(test, point, seed) for test in self.tests] for seed, point in pairs]
        if not all(key in ledger for folds in keys for key in folds):
            return None
        return [[ledger[key] for key in folds] for folds in keys]
