"""A federation made of `Silo.answer` alone, by public names, trains every family as any federation does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from families import FAMILIES, small
from sklearn.base import clone

from fedtrees import (
    Answer,
    FedAvgClassifier,
    Federation,
    FedGBTRanker,
    LocalFederation,
    ParameterError,
    Silo,
    UnreliableFederation,
)  # fmt: skip

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 3)).round(1)
Y = np.digitize(X[:, 0] + X[:, 1] / 2, [-0.5, 0.5])
SILOS = np.repeat(["a", "b", "c"], [20, 40, 30])  # of other sizes, so that their replies have other lengths
QUERIES = np.arange(90) // 10
ESTIMATORS: list[Any] = [small(kind) for kinds in FAMILIES.values() for kind in kinds] + [small(FedGBTRanker)]


class Plain:
    """Hands each silo the bytes of its request, all facts of the run included, and brings back what it answers."""

    def __init__(self, silos: Sequence[Silo]):
        self.names = [silo.name for silo in silos]
        self._answer = [silo.answer for silo in silos]

    def ask(self, call: Any, cohort: Any) -> Iterator[Answer]:
        for silo in cohort:
            message = call.request(0, silo).encode()
            yield Answer(silo, self._answer[silo](message), len(message))


def silos() -> list[Silo]:
    def silo(name: str) -> Silo:
        rows = name == SILOS
        held_out = (X[rows][::3], Y[rows][::3], None, None, QUERIES[rows][::3])
        return Silo(name, X[rows], Y[rows], qid=QUERIES[rows], eval_set=[held_out], n_jobs=1)

    return [silo(name) for name in "abc"]


def learnt(model: Any) -> tuple[bytes, Any]:
    named = {name: getattr(model, name, None) for name in ("evals_result_", "loss_curve_")}
    return np.asarray(model.predict(X)).tobytes(), named


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda each: type(each).__name__)
def test_it_trains_as_any_federation_does(estimator: Any) -> None:
    ours = clone(estimator).fit_federation(LocalFederation(silos(), n_jobs=1))
    plain: Federation = Plain(silos())
    theirs = clone(estimator).fit_federation(plain)
    assert learnt(theirs) == learnt(ours)
    one, other = theirs.ledger_.per_silo(), ours.ledger_.per_silo()
    assert one[["bytes_up", "rounds", "integers"]].equals(other[["bytes_up", "rounds", "integers"]])
    assert (one["bytes_down"] > other["bytes_down"]).all()  # every message brings all facts anew


def test_silos_of_it_may_vanish() -> None:
    model = small(FAMILIES["network"][0])
    flaky = [UnreliableFederation(each, 0.5, 1) for each in (Plain(silos()), LocalFederation(silos(), n_jobs=1))]
    one, other = (clone(model).fit_federation(each) for each in flaky)
    assert learnt(one) == learnt(other)
    assert one.ledger_.per_round()["answers"].equals(other.ledger_.per_round()["answers"])


def test_the_one_that_the_readme_shows_trains() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text()
    (program,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "class MyFederation" in block)
    names: dict[str, Any] = {}
    exec(program, names)
    model = small(FAMILIES["gbt"][0])
    shown = clone(model).fit_federation(names["MyFederation"](silos()))
    assert learnt(shown) == learnt(clone(model).fit_federation(LocalFederation(silos(), n_jobs=1)))


class Forgetful(Plain):
    """Silos that start anew before each answer."""

    def __init__(self, silos: Sequence[Silo]):
        super().__init__(silos)
        self._answer = [lambda message, silo=silo: (silo.forget(), silo.answer(message))[1] for silo in silos]


def test_silos_that_forget_at_any_question_are_reminded_of_what_they_answered() -> None:
    estimator = small(FedAvgClassifier, method="scaffold", n_rounds=4)
    whole, forgetful = (clone(estimator).fit_federation(kind(silos())) for kind in (Plain, Forgetful))
    assert learnt(whole) == learnt(forgetful)


class Nameless(Plain):
    """Asks without the silos' places."""

    def ask(self, call: Any, cohort: Any) -> Iterator[Answer]:
        for silo in cohort:
            yield Answer(silo, self._answer[silo](call.request(0).encode()), 0)


def test_silos_that_remember_are_asked_by_their_places() -> None:
    with pytest.raises(ParameterError, match=r"give the silo's place, as in call.request\(0, silo\)"):
        small(FedAvgClassifier, method="scaffold").fit_federation(Nameless(silos()))
    small(FedAvgClassifier).fit_federation(Nameless(silos()))
