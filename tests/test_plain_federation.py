"""A federation of the methods that `Federation` lists, and of no other, trains every family as any federation does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from families import FAMILIES, small
from sklearn.base import clone

from fedtrees import FedGBTRanker, LocalFederation, UnreliableFederation
from fedtrees.core.data.table import Schema
from fedtrees.core.protocol.federation import Answer, Federation, Simulating
from fedtrees.core.protocol.log import Call
from fedtrees.core.sampling.samplers import Cohort

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 3)).round(1)
Y = np.digitize(X[:, 0] + X[:, 1] / 2, [-0.5, 0.5])
SILOS = np.repeat(["a", "b", "c"], [20, 40, 30])  # of other sizes, so that their replies have other lengths
QUERIES = np.arange(90) // 10
ESTIMATORS: list[Any] = [small(kind) for kinds in FAMILIES.values() for kind in kinds] + [small(FedGBTRanker)]


class Plain:
    """Hands calls on, and has nothing of `LocalFederation` that a federation need not have."""

    def __init__(self, inner: LocalFederation):
        self.names, self.eval_sets = inner.names, inner.eval_sets
        self._inner = inner

    def schemas(self, labels: bool) -> Sequence[tuple[str, Schema]]:
        return self._inner.schemas(labels)

    def ask(self, call: Call, cohort: Cohort) -> Iterable[Answer]:
        return self._inner.ask(call, cohort)


def federation(mode: str) -> LocalFederation:
    held_out = [(X[::3], Y[::3], None, None, QUERIES[::3])]
    return LocalFederation.from_table(X, Y, silos=SILOS, qid=QUERIES, eval_set=held_out, mode=mode, n_jobs=1)


def learnt(model: Any) -> tuple[bytes, Any]:
    named = {name: getattr(model, name, None) for name in ("evals_result_", "loss_curve_")}
    return np.asarray(model.predict(X)).tobytes(), named


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda each: type(each).__name__)
def test_it_trains_and_bills_as_the_federation_within(estimator: Any) -> None:
    ours = clone(estimator).fit_federation(federation("faithful"))
    plain: Federation = Plain(federation("faithful"))
    assert not isinstance(plain, Simulating)
    theirs = clone(estimator).fit_federation(plain)
    assert learnt(theirs) == learnt(ours)
    assert theirs.ledger_.per_silo().equals(ours.ledger_.per_silo())
    assert theirs.ledger_.per_round().equals(ours.ledger_.per_round())


def test_silos_of_it_may_vanish() -> None:
    model = small(FAMILIES["network"][0])
    flaky = [UnreliableFederation(each, 0.5, 1) for each in (Plain(federation("faithful")), federation("faithful"))]
    one, other = (clone(model).fit_federation(each) for each in flaky)
    assert learnt(one) == learnt(other) and one.ledger_.per_silo().equals(other.ledger_.per_silo())
