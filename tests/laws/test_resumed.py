"""A server that is lost between two rounds, and silos that start anew: the training goes on to the same bits."""

from __future__ import annotations

import warnings
from typing import Any

import golden
import numpy as np
import pytest
from families import FAMILIES, small
from xgboost.callback import TrainingCallback

from fedtrees import LocalFederation, ParameterError, ProtocolError, Silo
from fedtrees.core.data.record import decode, encode
from fedtrees.core.protocol.checkpoint import Checkpoint
from fedtrees.core.protocol.message import Request, frame, open_reply
from fedtrees.core.protocol.query import Repeat
from fedtrees.neural.state import RefuseMissing
from fedtrees.queries.counts import Counts

SETTINGS = golden.settings()
KINDS = [kind for kinds in FAMILIES.values() for kind in kinds]
X = np.random.default_rng(7).normal(size=(90, 3)).astype(np.float32)
NUMBERS = X[:, 0] - X[:, 1] * X[:, 2] + 0.5 * np.random.default_rng(8).normal(size=90)
ROUNDS = 2  # of four that the first server lives for
BARE = {"bagging", "adaboost, three", "network, method scaffold", "binary:logistic"}  # for plain Python


class Killed(Exception):
    """The server is gone."""


class Store:
    """A checkpoint in memory, by a server that lives for some rounds."""

    def __init__(self, rounds: int | None = None):
        self.rounds, self.saved, self.data = rounds, 0, b""

    def load(self) -> bytes | None:
        return self.data or None

    def save(self, data: bytes) -> None:
        self.data, self.saved = data, self.saved + 1
        if self.saved == self.rounds:
            raise Killed


class Unwritten(Store):
    """A checkpoint by a server that is lost when the next round is over and not yet written down."""

    def save(self, data: bytes) -> None:
        if self.saved == self.rounds:
            raise Killed
        self.data, self.saved = data, self.saved + 1


def federation_of(setting: golden.Setting, mode: str) -> Any:
    silos = [golden.silo_of(setting, k) for k in range(golden.N_SILOS)]
    return setting.federation(LocalFederation(silos, mode=mode, n_jobs=1))


def trained(setting: golden.Setting, mode: str, store: Store) -> Any:
    model = setting.estimator.__class__(**setting.estimator.get_params())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model._fit_federation(federation_of(setting, mode), store=store)


def learnt(setting: golden.Setting, model: Any) -> Any:
    """All bits of a model and of its history, and the ledger but for the facts that silos were sent once more."""
    ledger = model.ledger_.per_round().drop(columns="bytes_down")
    predicted = [model.personalize(golden.silo_of(setting, 1), how).params_ for how in setting.personal[-1:]
                 if hasattr(model, "params_")]  # fmt: skip
    return golden.digest(golden.model_of(model), golden.history_of(model), predicted), ledger.to_csv()


def cases() -> Any:
    for name in SETTINGS:
        marks = [] if name in BARE else [pytest.mark.slow_without_jit]
        for mode in ("fused", "faithful"):
            if mode == "fused" or name in BARE or "network" in name or "drawn" in name:
                yield pytest.param(name, mode, marks=marks, id=f"{name}, {mode}")


# law: loop.Training
@pytest.mark.parametrize(("name", "mode"), list(cases()))
def test_some_rounds_and_then_others_are_all_rounds(name: str, mode: str) -> None:
    setting, whole_store, store = SETTINGS[name], Store(), Store(ROUNDS)
    whole = trained(setting, mode, whole_store)
    if whole_store.saved < ROUNDS:
        store.rounds = 1  # there is nothing left to do but what follows the last round
    with pytest.raises(Killed):
        trained(setting, mode, store)
    resumed = trained(setting, mode, store)
    assert learnt(setting, resumed) == learnt(setting, whole)
    assert store.saved == max(whole_store.saved, store.rounds)  # no round was trained twice
    assert decode(store.data, Checkpoint).state == decode(whole_store.data, Checkpoint).state


def federation_of_small(kind: Any, mode: str, names: str = "abc") -> LocalFederation:
    y = NUMBERS if "Regressor" in kind.__name__ else (NUMBERS > 0).astype(int)
    silos = [Silo(name, X[place::3], y[place::3], n_jobs=1) for place, name in enumerate(names)]
    return LocalFederation(silos, mode=mode, n_jobs=1)


def fit_small(kind: Any, store: Store | None, federation: LocalFederation, **more: Any) -> Any:
    return small(kind, random_state=1, **more)._fit_federation(federation, store=store)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_writing_down_changes_nothing_and_neither_does_a_server_that_was_away(kind: Any, mode: str) -> None:
    """Of silos that were there all the time: they have the facts, and pass over those that come again."""
    plain = fit_small(kind, None, federation_of_small(kind, mode))
    written = fit_small(kind, Store(), federation_of_small(kind, mode))
    assert golden.digest(golden.model_of(plain)) == golden.digest(golden.model_of(written))
    assert plain.ledger_.to_json() == written.ledger_.to_json()
    federation, store = federation_of_small(kind, mode), Store(1)
    with pytest.raises(Killed):
        fit_small(kind, store, federation)
    resumed = fit_small(kind, store, federation)
    assert golden.digest(golden.model_of(resumed)) == golden.digest(golden.model_of(plain))
    assert resumed.ledger_.to_json() == plain.ledger_.to_json()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_silos_that_are_ahead_of_the_checkpoint_go_back_to_it(kind: Any, mode: str) -> None:
    """They have the trees of a round that was not written down, and grow it once more as if they had not."""
    more = {"validation_fraction": 0.3} if kind in FAMILIES["gbt"] + FAMILIES["network"] else {}
    whole_store = Store()
    whole = fit_small(kind, whole_store, federation_of_small(kind, mode), **more)
    federation, store = federation_of_small(kind, mode), Unwritten(whole_store.saved - 1)
    with pytest.raises(Killed):
        fit_small(kind, store, federation, **more)
    store.rounds = None
    if whole_store.saved > 1:
        resumed = fit_small(kind, store, federation, **more)
    else:  # there is no checkpoint: the training begins anew
        resumed = fit_small(kind, Store(), federation, **more)
    assert golden.digest(golden.model_of(resumed)) == golden.digest(golden.model_of(whole))
    assert getattr(resumed, "evals_result_", None) == getattr(whole, "evals_result_", None)


class Narrow:
    """Draws two silos of three, as numbers of 32 bits."""

    def draw(self, n_silos: int, seed: int, round: int) -> Any:
        return np.array([0, 2] if round % 2 else [1, 2], np.int32)


@pytest.mark.parametrize("kind", [FAMILIES["gbt"][0], FAMILIES["network"][0]], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_a_cohort_of_any_whole_numbers_is_written_down(kind: Any, mode: str) -> None:
    more: dict[str, Any] = {"sampling": Narrow()} | ({"method": "scaffold"} if kind in FAMILIES["network"] else {})
    whole, store = fit_small(kind, None, federation_of_small(kind, mode), **more), Store(2)
    with pytest.raises(Killed):
        fit_small(kind, store, federation_of_small(kind, mode), **more)
    resumed = fit_small(kind, store, federation_of_small(kind, mode), **more)
    assert golden.digest(golden.model_of(resumed)) == golden.digest(golden.model_of(whole))


@pytest.mark.parametrize("killed", [1, 2, 3, 4])
def test_a_training_that_ends_by_its_scores_ends_the_same(killed: int) -> None:
    """Early stopping counts rounds before the server was lost, and the best network may lie there."""
    for kind in FAMILIES["gbt"] + FAMILIES["network"]:
        more: dict[str, Any] = {"validation_fraction": 0.4}
        if kind in FAMILIES["gbt"]:
            more |= {"early_stopping_rounds": 4, "n_estimators": 60, "learning_rate": 0.3}
        else:
            more |= {"patience": 4, "n_rounds": 60, "learning_rate": 0.5}
        whole_store, store = Store(), Store(killed)
        whole = fit_small(kind, whole_store, federation_of_small(kind, "fused"), **more)
        assert 4 < whole_store.saved < 60
        with pytest.raises(Killed):
            fit_small(kind, store, federation_of_small(kind, "fused"), **more)
        resumed = fit_small(kind, store, federation_of_small(kind, "fused"), **more)
        assert golden.digest(golden.model_of(resumed)) == golden.digest(golden.model_of(whole))
        assert resumed.evals_result_ == whole.evals_result_
        if kind in FAMILIES["gbt"]:
            assert (resumed.best_iteration, resumed.best_score) == (whole.best_iteration, whole.best_score)


class Halving(TrainingCallback):  # type: ignore[misc]
    """Halves the learning rate after the first round, and never again."""

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        if epoch == 0:
            model.set_param("learning_rate", 0.15)
        return False


@pytest.mark.parametrize("mode", ["histogram", "bagging"])
def test_a_learning_rate_that_a_callback_has_set_stays(mode: str) -> None:
    kind, models = FAMILIES["gbt"][0], []
    for store in (Store(), Store(2)):
        more: dict[str, Any] = {"mode": mode, "n_estimators": 4, "callbacks": [Halving()]}
        if store.rounds:
            with pytest.raises(Killed):
                fit_small(kind, store, federation_of_small(kind, "fused"), **more)
        models.append(fit_small(kind, store, federation_of_small(kind, "fused"), **more))
    assert golden.model_of(models[0]) == golden.model_of(models[1])
    other = fit_small(kind, None, federation_of_small(kind, "fused"), mode=mode, n_estimators=4)
    assert golden.model_of(other) != golden.model_of(models[0])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_checkpoint_of_another_training_is_refused(kind: Any) -> None:
    store = Store(1)
    with pytest.raises(Killed):
        fit_small(kind, store, federation_of_small(kind, "fused"))
    kept = store.data
    with pytest.raises(ParameterError, match=r"checkpoint: a training of the silos \['a', 'b', 'c'\], and these are"):
        fit_small(kind, store, federation_of_small(kind, "fused", names="abd"))
    with pytest.raises(ParameterError, match=r"checkpoint: of another training, whose .* is not this one's"):
        fit_small(kind, store, federation_of_small(kind, "fused"), weighting="equal")
    assert store.data == kept
    store.data = kept[:-9]
    with pytest.raises(ProtocolError, match="unreadable Checkpoint"):
        fit_small(kind, store, federation_of_small(kind, "fused"))


def test_a_silo_that_cannot_take_in_all_it_has_forgotten_forgets_it_all() -> None:
    """Else it would have all facts, and not be sent again what it answered."""
    silo = Silo("a", X, NUMBERS, n_jobs=1)
    request = Request(bytes(16), 3, 0, 0, [frame(encode(RefuseMissing()))], [Repeat(b"damaged"), Counts(3)])
    with pytest.raises(ProtocolError, match="unreadable Query"):
        open_reply(request, silo.answer(request.encode()), "a")
    assert (silo.run, silo.version) == (b"", 0)


GBT, NETWORK = FAMILIES["gbt"][1], FAMILIES["network"][1]
OTHERS = [
    (GBT, {}, {"max_bin": 16}, ".*"),
    (GBT, {}, {"mode": "bagging"}, ".*"),
    (GBT, {"mode": "bagging"}, {}, ".*"),
    (NETWORK, {"standardize": False}, {}, ".*"),
    (NETWORK, {}, {"standardize": False}, ".*"),
]


@pytest.mark.parametrize(("kind", "before", "after", "message"), OTHERS)
def test_a_training_that_asks_other_questions_is_refused(kind: Any, before: Any, after: Any, message: str) -> None:
    """Before anything is made of answers to what was not asked."""
    store = Store(1)
    with pytest.raises(Killed):
        fit_small(kind, store, federation_of_small(kind, "fused"), **before)
    with pytest.raises(ParameterError, match=f"checkpoint: of another training, whose {message} is not this one's"):
        fit_small(kind, store, federation_of_small(kind, "fused"), **after)


def test_a_server_that_is_lost_before_the_first_round_begins_anew() -> None:
    kind, store = FAMILIES["gbt"][0], Store()
    with pytest.raises(ParameterError, match="max_bin"):
        fit_small(kind, store, federation_of_small(kind, "fused"), max_bin=1)
    assert store.load() is None
    begun = fit_small(kind, store, federation_of_small(kind, "fused"))
    assert golden.model_of(begun) == golden.model_of(fit_small(kind, None, federation_of_small(kind, "fused")))
