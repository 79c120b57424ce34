"""Aggregations that are no plain sums: masks, a median and noise, each written here and taken by every estimator."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from families import FAMILIES, small
from numpy.typing import NDArray
from sklearn.base import clone

from fedtrees import Aggregation, FedGBTClassifier, FedGBTRanker, LocalFederation, ParameterError, PlainSum
from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.numeric.rng import stream
from fedtrees.core.protocol.aggregation import Collector, Sender
from fedtrees.core.protocol.query import Query
from fedtrees.trees.messages.histograms import Histograms

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 3)).round(1)
Y = np.digitize(X[:, 0] + X[:, 1] / 2, [-0.5, 0.5])
NAMES = list("abcde")
SILOS = np.repeat(NAMES, [20, 40, 30, 25, 35])
QUERIES = np.arange(150) // 5
ESTIMATORS: list[Any] = [small(kind) for kinds in FAMILIES.values() for kind in kinds] + [small(FedGBTRanker)]
each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda each: type(each).__name__)


class Masked(Aggregation, frozen=True, eq=False):
    """Vectors behind masks that add up to nothing modulo 2**64 over all silos: neighbours in a ring share one each."""

    names: list[str]

    def protect(self, query: Query, vector: Vector, sender: Sender, place: int) -> bytes:
        at = self.names.index(sender.name)
        own, before = (self._mask(silo % len(self.names), query.size(), sender, place) for silo in (at, at - 1))
        return (vector.astype(np.uint64) + own - before).astype("<u8").tobytes()

    def _mask(self, silo: int, size: int, sender: Sender, place: int) -> NDArray[np.uint64]:
        purpose = f"{sender.run.hex()} {sender.attempt} {place}"
        return stream(0, purpose, sender.round, self.names[silo]).integers(2**64, size=size, dtype=np.uint64)

    def collector(self, query: Query) -> Collector:
        return Wrapping(query)


class Wrapping:
    """Adds up modulo 2**64."""

    def __init__(self, query: Query):
        self.sum = np.zeros(query.size(), np.uint64)
        self.seen: list[bytes] = []

    def add(self, silo: str, body: bytes) -> None:
        self.sum += np.frombuffer(body, "<u8")

    def total(self) -> Vector:
        return self.sum.astype(np.int64)


class Median(PlainSum, frozen=True, eq=False):
    """Of what bears a little doubt, the median of each coordinate times the number of silos; of all else, the sum."""

    exact = plain = False

    def collector(self, query: Query) -> Collector:
        return Middle(self, query) if query.tolerates_noise else super().collector(query)


class Middle:
    """Keeps the silos' vectors."""

    def __init__(self, aggregation: PlainSum, query: Query):
        self.aggregation, self.query = aggregation, query
        self.vectors: list[Vector] = []

    def add(self, silo: str, body: bytes) -> None:
        self.vectors.append(self.aggregation.vector(self.query, silo, body))

    def total(self) -> Vector:
        total: Vector = np.median(self.vectors, axis=0).astype(np.int64) * len(self.vectors)
        return total


class Noisy(PlainSum, frozen=True, eq=False):
    """Adds whole numbers of about ``scale`` times what one row can change, in the silo, to what bears it."""

    scale: float

    exact = plain = sparse = False

    def protect(self, query: Query, vector: Vector, sender: Sender, place: int) -> bytes:
        if query.tolerates_noise:
            draws = stream(1, f"noise {place}", sender.round, sender.name).normal(size=query.size())
            noise = np.rint(self.scale * query.row_bound() * draws).astype(np.int64)
            vector = np.clip(vector + noise, query.lowest(), query.bound())
        return super().protect(query, vector, sender, place)


def federation(mode: str) -> LocalFederation:
    held_out = [(X[::3], Y[::3], None, None, QUERIES[::3])]
    return LocalFederation.from_table(X, Y, silos=SILOS, qid=QUERIES, eval_set=held_out, mode=mode, n_jobs=1)


def trained(estimator: Any, aggregation: Aggregation | None, mode: str = "fused") -> Any:
    return clone(estimator).set_params(aggregation=aggregation).fit_federation(federation(mode))


# law: Aggregation
@each_estimator
def test_masks_change_no_bit_of_a_model(estimator: Any) -> None:
    plain = trained(estimator, None)
    for mode in ("fused", "faithful"):
        masked = trained(estimator, Masked(NAMES), mode)
        assert np.asarray(masked.predict(X)).tobytes() == np.asarray(plain.predict(X)).tobytes()
        assert getattr(masked, "evals_result_", None) == getattr(plain, "evals_result_", None)
        if hasattr(plain, "booster_"):
            assert masked.booster_.save_raw() == plain.booster_.save_raw()
        assert masked.ledger_.bytes_up > plain.ledger_.bytes_up  # a masked zero is as long as any number


def test_what_a_silo_sends_behind_masks_looks_like_noise() -> None:
    class Kept(Masked, frozen=True, eq=False):
        def protect(self, query: Query, vector: Vector, sender: Sender, place: int) -> bytes:
            body = super().protect(query, vector, sender, place)
            sent.append(np.frombuffer(body, "<u8"))
            return body

    sent: list[NDArray[np.uint64]] = []
    trained(small(FedGBTClassifier), Kept(NAMES))
    high = np.concatenate(sent) >> np.uint64(56)
    assert len(high) > 50_000 and np.bincount(high.astype(int), minlength=256).min() > len(high) / 256 * 0.7


@each_estimator
def test_a_median_of_histograms_is_taken_by_every_estimator(estimator: Any) -> None:
    models = [trained(estimator, Median(), mode) for mode in ("fused", "faithful")]
    first, second = (np.asarray(model.predict(X)) for model in models)
    assert first.tobytes() == second.tobytes()
    assert np.isfinite(first.astype(float)).all()


def test_under_a_median_both_siblings_are_asked_for_and_no_hessian_is_negative() -> None:
    estimator = FedGBTClassifier(5, max_depth=4, n_jobs=1, min_child_weight=0)

    class Spying(Median, frozen=True, eq=False):
        queries: ClassVar[list[Any]] = []

        def collector(self, query: Query) -> Collector:
            if isinstance(query, Histograms):
                self.queries.append(query)
            return super().collector(query)

    table = trained(estimator, Spying()).booster_.trees_to_dataframe()
    assert (table["Cover"] >= 0).all() and len(table) > 60
    below = [query.build[query.build > 0] for query in Spying.queries]
    assert sum(map(len, below)) > 30
    for build in below:
        assert (build[::2] + 1 == build[1::2]).all()


@each_estimator
def test_noise_goes_where_it_is_borne(estimator: Any) -> None:
    models = [trained(estimator, Noisy(0.02), mode) for mode in ("fused", "faithful")]
    first, second = (np.asarray(model.predict(X)) for model in models)
    assert first.tobytes() == second.tobytes()  # which silo draws what does not depend on where it is
    assert np.isfinite(first.astype(float)).all()


def test_cuts_are_right_under_noise() -> None:
    noisy = trained(FedGBTClassifier(5, max_depth=4, n_jobs=1), Noisy(0.05))
    table = noisy.booster_.trees_to_dataframe().dropna(subset="Split")
    assert len(table) > 20
    for name, cut in zip(table["Feature"], table["Split"], strict=True):
        values = np.unique(X[:, int(name[1])].astype(np.float32))
        place = np.searchsorted(values, np.float32(cut))
        assert 0 < place < len(values)  # no cut at a bin that no row is in


class Weighing(PlainSum, frozen=True, eq=False):
    """Compares what silos of one row send with what one row can change."""

    plain = False
    largest: ClassVar[dict[str, float]] = {}

    def protect(self, query: Query, vector: Vector, sender: Sender, place: int) -> bytes:
        share = float(np.abs(vector).max(initial=0)) / query.row_bound()
        self.largest[query.kind] = max(self.largest.get(query.kind, 0.0), share)
        return super().protect(query, vector, sender, place)


@each_estimator
def test_no_row_changes_more_than_a_query_says(estimator: Any) -> None:
    """A silo of one row sends what that row adds."""
    rows, each = slice(0, 40), np.arange(40)
    for weight in (None, each % 5 + 1, each / 7 + 0.1):
        federation = LocalFederation.from_table(X[rows], Y[rows], silos=each, qid=each, sample_weight=weight, n_jobs=1)
        Weighing.largest.clear()
        clone(estimator).set_params(aggregation=Weighing()).fit_federation(federation)
        assert max(Weighing.largest.values()) <= 1, str(Weighing.largest)
        assert Weighing.largest["Counts"] == 1
        if not isinstance(estimator, FedGBTRanker):  # who has nothing to learn of queries of one row
            assert Weighing.largest.get("Histograms", 1) > 0.1


def test_the_mode_that_gathers_silos_own_trees_says_that_masks_hide_them() -> None:
    with pytest.raises(ParameterError, match=r"^LocalTrees: Masked hides what each silo answers, and it is needed"):
        trained(FedGBTClassifier(2, mode="bagging"), Masked(NAMES))


@pytest.mark.parametrize("estimator", ESTIMATORS[:1] + ESTIMATORS[8:12], ids=lambda each: type(each).__name__)
def test_what_is_no_aggregation_is_refused(estimator: Any) -> None:
    with pytest.raises(ParameterError, match=r"^aggregation='sum': give a fedtrees.Aggregation, or None"):
        trained(estimator, "sum")  # type: ignore[arg-type]
