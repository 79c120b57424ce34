"""FedAvg at its limits: bits that must not move, draws that must change, equalities, and schedules at their ends."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import clone

from fedtrees import (
    DataError,
    DivergenceError,
    FedAvgClassifier,
    FedAvgRegressor,
    FixedNumber,
    LocalFederation,
    ParameterError,
    Silo,
)
from fedtrees.core.numeric.rng import stream
from fedtrees.neural.compression import Rounded, TopK
from fedtrees.neural.local import Rows, Trained, Work, train
from fedtrees.neural.memory import Memory
from fedtrees.neural.methods import FedPer
from fedtrees.neural.optimisers import Averaging, FedAdagrad, FedAdam, FedYogi, Momentum
from fedtrees.neural.perceptron import Perceptron
from fedtrees.neural.personal import Ditto, FineTuning, OwnHead
from fedtrees.neural.schedules import Constant, Cosine, Exponential, Inverse
from fedtrees.neural.torch_model import TorchModel
from fedtrees.trees.silo.state import TreeState

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 4)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(np.int64)
SILOS = np.array(["a", "b", "c"])[np.arange(90) % 3]
SMALL: dict[str, Any] = {"batch_size": 8, "n_jobs": 1, "random_state": 4}


def module(features: int, outputs: int) -> Any:
    torch = pytest.importorskip("torch")
    nn = torch.nn
    return nn.Sequential(nn.Linear(features, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, outputs))


MODELS = {"perceptron": None, "torch": TorchModel(module)}
# of networks of 4, 6 and 5 units and one output: the parameters of the last one, two and three layers
TAILS = {1: 6, 2: 6 + 35, 3: 6 + 35 + 30}


def silo_of(name: str) -> Silo:
    return Silo(name, X[name == SILOS], Y[name == SILOS], n_jobs=1)


# -- bits that must not move --------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_a_frozen_body_keeps_its_bits_and_all_of_the_head_moves(model: str, layers: int, alpha: float) -> None:
    shared = FedAvgClassifier((6, 5), activation="tanh", n_rounds=3, alpha=alpha, model=MODELS[model], **SMALL)
    shared.fit(X, Y, silos=SILOS)
    before = shared.params_.tobytes()
    personal = shared.personalize(silo_of("b"), OwnHead(layers, epochs=2))
    body = len(shared.params_) - TAILS[layers]
    assert personal.params_[:body].tobytes() == shared.params_[:body].tobytes()
    assert (personal.params_[body:] != shared.params_[body:]).all()
    assert shared.params_.tobytes() == before and personal.params_.base is not shared.params_


@pytest.mark.parametrize("how", [FineTuning(2), Ditto(0.3, 2), OwnHead(1, 2)], ids=repr)
@pytest.mark.parametrize("model", MODELS)
def test_a_personal_model_leaves_the_shared_one_and_its_silo_as_they_were(how: Any, model: str) -> None:
    shared = FedAvgClassifier((6, 5), n_rounds=3, model=MODELS[model], **SMALL).fit(X, Y, silos=SILOS)
    silo = silo_of("b")
    before, table = pickle_of(shared), silo.table.X.tobytes()
    personal = shared.personalize(silo, how)
    assert pickle_of(shared) == before and silo.table.X.tobytes() == table and silo.states.find(TreeState) is None
    assert personal.params_.tobytes() != shared.params_.tobytes()
    personal.params_[:] = 0  # a copy shares nothing that can be written to
    assert pickle_of(shared) == before and shared.predict(X).any()
    if model == "perceptron":
        assert all(not own.any() for own in personal.coefs_) and all(own.any() for own in shared.coefs_)


def pickle_of(model: Any) -> tuple[Any, ...]:
    network = model._network
    return (
        model.params_.tobytes(), network.params.tobytes(), network.moments.mean.tobytes(), list(model.loss_curve_),
        model.n_rounds_, hasattr(model, "personal_"), [own.tobytes() for own in network.memory],
    )  # fmt: skip


@pytest.mark.parametrize("how", ["fine", "ditto", "head"])
def test_a_personal_model_is_trained_by_its_equation(how: str) -> None:
    """Gradient descent on the silo's rows, by hand: Li et al. (2021), equation 2, and a body that stays."""
    rows, lam, rate, alpha = SILOS == "b", 0.7, 0.2, 0.05
    shared = FedAvgClassifier(
        (3,), n_rounds=2, batch_size=None, learning_rate=rate, alpha=alpha, standardize=False, n_jobs=1
    ).fit(X, Y, silos=SILOS)
    given = {"fine": FineTuning(4), "ditto": Ditto(lam, 4), "head": OwnHead(1, 4)}[how]
    ours = shared.personalize(silo_of("b"), given).params_
    model = Perceptron([4, 3, 1], "binary:logistic")
    w, anchor, gradient = shared.params_.copy(), shared.params_.copy(), np.zeros_like(shared.params_)
    for _ in range(4):
        model.gradient(w, X[rows], Y[rows], None, gradient)
        if how == "head":
            gradient[:-4] = 0
        else:
            gradient += alpha * w + (lam * (w - anchor) if how == "ditto" else 0)
        w = w - np.float32(rate) * gradient
    np.testing.assert_allclose(ours, w, rtol=0, atol=1e-6)


def test_training_leaves_what_it_starts_from_as_it_was() -> None:
    model = Perceptron([4, 3, 1], "binary:logistic")
    start = model.initial(stream(0, "initial weights"))
    before, rows = start.tobytes(), Rows(X, Y, None)
    done = train(model, start, rows, Work(2, 8, 0.3), stream(0, "batches"))
    assert isinstance(done, Trained) and start.tobytes() == before != done.params.tobytes() and done.steps == 24
    first = FedAvgClassifier((4,), n_rounds=2, warm_start=True, **SMALL).fit(X, Y, silos=SILOS)
    params, losses = first.params_, first.loss_curve_
    kept, n = params.tobytes(), len(losses)
    first.fit(X, Y, silos=SILOS)
    assert params.tobytes() == kept and len(losses) == n == 2  # what was handed out before stays


@pytest.mark.parametrize(
    "optimiser", [Averaging(), Momentum(), FedAdagrad(), FedAdam(), FedYogi()], ids=lambda own: type(own).__name__
)
def test_a_server_optimiser_leaves_its_memory_and_the_change_as_they_were(optimiser: Any) -> None:
    memory, change = optimiser.start(5), np.linspace(-1, 1, 5)
    _, memory = optimiser.step(change, memory)
    before = [own.tobytes() for own in memory]
    first, _ = optimiser.step(change, memory)
    second, _ = optimiser.step(change, memory)
    assert [own.tobytes() for own in memory] == before and (change == np.linspace(-1, 1, 5)).all()
    np.testing.assert_array_equal(first, second)
    assert np.isfinite(first).all() and first[2] == 0  # what does not change is not moved


# law: Memory
def test_a_memory_answers_the_same_round_twice_and_then_moves_on() -> None:
    memory = Memory()
    assert not memory.enter(0).recall(3).any()
    memory.keep(np.float32([1, 2, 3]))
    assert not memory.enter(0).recall(3).any()  # the same round again
    memory.keep(np.float32([4, 5, 6]))
    assert memory.enter(1).recall(3).tolist() == [4, 5, 6]
    assert memory.enter(5).recall(3).tolist() == [4, 5, 6]  # rounds that the silo was not drawn for
    memory.keep(np.float32([7, 8, 9]))
    assert memory.enter(6).recall(3).tolist() == [7, 8, 9]


# -- draws that change --------------------------------------------------------------------------------------


def test_batches_stragglers_and_lots_differ_by_round_and_by_silo() -> None:
    """Two silos of the same rows, and rounds that all start from the same parameters, send other updates."""
    rows = np.tile(X[:30], (3, 1)), np.tile(Y[:30], 3), np.repeat(["a", "b", "c"], 30)
    federation = LocalFederation.from_table(rows[0], rows[1], silos=rows[2])

    class One:
        """The silo that is drawn, in every round."""

        def __init__(self, place: int):
            self.place = place

        def draw(self, n_silos: int, seed: int, round: int) -> NDArray[np.int64]:
            return np.array([self.place])

    def updates(place: int, **more: Any) -> list[bytes]:
        model = FedAvgClassifier((4,), sampling=One(place), server=Averaging(1e-30), **{**SMALL, "n_rounds": 4, **more})
        losses = model.fit_federation(federation).loss_curve_
        return [repr(own) for own in losses]  # type: ignore[misc]

    for more in ({}, {"stragglers": 0.99, "local_epochs": 9, "batch_size": None}):
        lots = [loss for place in range(3) for loss in updates(place, **more)]
        assert len(set(lots)) > 5, more  # stragglers of nine epochs share some
    assert updates(0) == updates(0) != updates(0, random_state=5)


def test_lots_of_rounding_differ_by_round_and_silo() -> None:
    class Frozen:
        """Every silo sends the same in every round."""

        def __init__(self) -> None:
            self.seen: list[NDArray[np.float64]] = []

        def check(self) -> None: ...

        def start(self, n_params: int) -> tuple[()]:
            return ()

        def step(self, change: Any, memory: Any) -> Any:
            self.seen.append(change)
            return 0 * change, memory

    server = Frozen()
    FedAvgClassifier((4,), n_rounds=6, batch_size=None, compression=Rounded(6), server=server, n_jobs=1).fit(X, Y)
    later = [own.tobytes() for own in server.seen[1:]]
    assert len(set(later)) == 5
    mean, exact = np.mean(server.seen[1:], axis=0), server.seen[0]
    assert np.abs(mean - exact).max() < 2 * np.abs(exact).max()


@pytest.mark.parametrize("sampling", [2, 0.5])
def test_cohorts_differ_from_round_to_round_and_go_on_with_the_rounds(sampling: Any) -> None:
    silos = np.arange(90) % 8
    model = FedAvgClassifier((4,), sampling=sampling, **SMALL)
    for _ in range(3):
        model.partial_fit(X, Y, silos=silos, n_rounds=2)
    whole = FedAvgClassifier((4,), sampling=sampling, n_rounds=6, **SMALL).fit(X, Y, silos=silos)
    assert model.params_.tobytes() == whole.params_.tobytes()
    answers = whole.ledger_.per_round()
    answers = answers[answers.kind == "LocalUpdate"]
    assert set(answers.answers) == {2 if sampling == 2 else 4}
    drawn = [tuple(whole._settings.sampler.draw(8, 4, round)) for round in range(6)]
    assert len(set(drawn)) > 3


def test_draws_of_a_training_that_goes_on_are_those_of_its_first_seed() -> None:
    model = FedAvgClassifier((4,), sampling=2, **SMALL).partial_fit(X, Y, silos=SILOS)
    model.set_params(random_state=99).partial_fit(X, Y, silos=SILOS, n_rounds=3)
    whole = FedAvgClassifier((4,), sampling=2, **SMALL).partial_fit(X, Y, silos=SILOS, n_rounds=4)
    assert model.params_.tobytes() == whole.params_.tobytes()


def test_missing_values_of_evaluation_sets_are_refused_before_any_training() -> None:
    table = X.copy()
    table[7, 2] = np.nan
    model = FedAvgClassifier((4,), n_rounds=1, n_jobs=1)
    with pytest.raises(DataError, match=r"silo 'b': column 'f2' holds NaN, which a network cannot learn from"):
        model.fit(X, Y, silos=SILOS, eval_set=[(table, Y)], eval_silos=[SILOS])
    assert not hasattr(model, "params_")


# -- equalities ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["error", "logloss", "auc"])
def test_a_target_that_is_just_reached_ends_training_there(metric: str) -> None:
    common: dict[str, Any] = {"eval_metric": metric, "learning_rate": 0.05, **SMALL}
    sets = {"eval_set": [(X, Y)], "silos": SILOS}
    scores = FedAvgClassifier((4,), n_rounds=12, **common).fit(X, Y, **sets).evals_result_["validation_0"][metric]
    better = max if metric == "auc" else min
    target = better(scores[:8])
    first = scores.index(target)
    model = FedAvgClassifier((4,), n_rounds=12, target_score=target, **common).fit(X, Y, **sets)
    assert model.n_rounds_ == first + 1
    past = math.nextafter(target, math.inf if metric == "auc" else -math.inf)
    model = FedAvgClassifier((4,), n_rounds=first + 1, target_score=past, **common).fit(X, Y, **sets)
    longer = FedAvgClassifier((4,), n_rounds=12, target_score=past, **common).fit(X, Y, **sets)
    assert longer.n_rounds_ > first + 1 and model.params_.tobytes() != longer.params_.tobytes()


@pytest.mark.parametrize("patience", [1, 2, 5])
@pytest.mark.parametrize("metric", ["error", "auc"])
def test_an_equal_score_is_not_a_better_one(patience: int, metric: str) -> None:
    """A model that does not move scores the same in each round: its first is the best one."""
    model = FedAvgClassifier((4,), n_rounds=30, learning_rate=1e-30, patience=patience, eval_metric=metric, **SMALL)
    model.fit(X, Y, silos=SILOS, eval_set=[(X, Y)])
    scores = model.evals_result_["validation_0"][metric]
    assert len(set(scores)) == 1 and model.n_rounds_ == patience + 1
    assert model.params_ is not model._network.params  # that of the first round, and not of the last


@pytest.mark.parametrize("patience", [1, 3])
def test_patience_counts_rounds_after_the_best_and_keeps_its_parameters(patience: int) -> None:
    common: dict[str, Any] = {"learning_rate": 1.5, "eval_metric": "logloss", **SMALL}
    rows = {"silos": SILOS[:60], "eval_set": [(X[60:], Y[60:])]}
    model = FedAvgClassifier((4,), n_rounds=200, patience=patience, **common).fit(X[:60], Y[:60], **rows)
    scores = model.evals_result_["validation_0"]["logloss"]
    best = int(np.argmin(scores))
    assert len(scores) == best + 1 + patience == model.n_rounds_ < 200
    assert all(max(pair) - min(pair) >= 0 for pair in pairwise(scores))
    best_model = FedAvgClassifier((4,), n_rounds=best + 1, **common).fit(X[:60], Y[:60], silos=SILOS[:60])
    assert model.params_.tobytes() == best_model.params_.tobytes()


# -- ends of schedules --------------------------------------------------------------------------------------


def test_schedules_begin_at_one_and_end_where_their_equations_do() -> None:
    for schedule in (Constant(), Exponential(0.3), Inverse(0.7), Cosine(9)):
        assert schedule(0) == 1
    cosine = Cosine(10)
    assert cosine(5) == pytest.approx(0.5) and cosine(9) == pytest.approx((1 + math.cos(0.9 * math.pi)) / 2)
    assert cosine(10) == cosine(9) == cosine(10_000) > 0  # the last rate stays
    assert Cosine(1)(0) == Cosine(1)(5) == 1
    assert [Inverse(0.5)(round) for round in (1, 2, 98)] == [1 / 1.5, 0.5, 0.02]
    assert [Exponential(0.5)(round) for round in (1, 2, 10)] == [0.5, 0.25, 2**-10]
    assert Exponential(1.0)(7) == Constant()(7) == 1


def test_a_schedule_that_leaves_no_rate_is_refused_and_one_that_vanishes_rests() -> None:
    for decay in (1, 1.0, True):
        with pytest.raises(ParameterError, match="decay="):
            FedAvgClassifier((4,), schedule="exponential", decay=decay).fit(X, Y)
    FedAvgClassifier((4,), schedule="inverse", decay=1, n_rounds=2).fit(X, Y)
    for method in ("fedavg", "fedprox", "scaffold", "fednova", "qfedavg"):
        model = FedAvgClassifier((4,), schedule="exponential", decay=0.999, method=method, n_rounds=120, n_jobs=1)
        model.fit(X, Y, silos=SILOS, sample_weight=None)
        assert np.isfinite(model.params_).all() and len(set(model.loss_curve_[110:])) == 1
    cosine = FedAvgClassifier((4,), schedule="cosine", n_rounds=4, warm_start=True, **SMALL).fit(X, Y)
    assert cosine.fit(X, Y).n_rounds_ == 8  # beyond its end, at its last rate


def test_a_batch_of_all_rows_is_no_batch_to_the_bit() -> None:
    """Rows stand in their order where there is one batch, however large it might be."""
    found = [
        FedAvgClassifier((4,), n_rounds=3, batch_size=size, n_jobs=1).fit(X, Y).params_.tobytes()
        for size in (None, 90, 91, 10_000, 89)
    ]
    assert found[0] == found[1] == found[2] == found[3] != found[4]


def test_rows_of_one_batch_stand_in_their_order() -> None:
    model, rows = Perceptron([4, 3, 1], "binary:logistic"), Rows(X, Y, None)
    start = model.initial(stream(0, "initial weights"))
    gradient, step = np.empty_like(start), np.float32(0.3)
    model.gradient(start, X, Y, None, gradient)
    assert train(model, start, rows, Work(1, None, 0.3), stream(0, "batches")).params.tobytes() == (
        start - step * gradient
    ).tobytes()  # fmt: skip


@pytest.mark.parametrize("rate", [3e38, 1e20])
def test_parameters_that_overflow_in_the_last_step_are_refused(rate: float) -> None:
    """Though every loss was finite; and those that do not overflow are none."""
    model, rows = Perceptron([1, 1], "reg:squarederror"), Rows(np.ones((1, 1), np.float32), np.float32([[9.0]]), None)
    start = np.zeros(2, np.float32)
    if rate > 1e38:
        with pytest.raises(DivergenceError, match="the loss or a parameter is no longer finite; lower learning_rate"):
            train(model, start, rows, Work(1, None, rate), stream(0, "batches"))
    else:
        assert np.isfinite(train(model, start, rows, Work(1, None, rate), stream(0, "batches")).params).all()


# -- silos of one row, of none and of little weight ---------------------------------------------------------


def test_a_silo_of_one_row_takes_its_whole_step() -> None:
    given: dict[str, Any] = {"batch_size": None, "learning_rate": 0.5, "standardize": False, "n_jobs": 1}
    model = FedAvgRegressor((), n_rounds=1, **given).fit(X[:1], [3.0])
    start = FedAvgRegressor((), n_rounds=1, **given).partial_fit(X[:1], [3.0], n_rounds=0).params_.astype(float)
    row = np.append(X[0].astype(float), 1)
    np.testing.assert_allclose(model.params_, start - 0.5 * (row @ start - 3) * row, rtol=1e-5)


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_rounds_that_only_silos_without_rows_take_part_in_are_none(mode: str) -> None:
    silos = [Silo("a", X, Y, n_jobs=1), Silo("b", X[:0], Y[:0], n_jobs=1)]
    for seed in range(6):
        turns = [int(FixedNumber(1).draw(2, seed, round)[0]) for round in range(3)]
        model = FedAvgClassifier((2,), n_rounds=3, sampling=1, batch_size=None, n_jobs=1, random_state=seed)
        if turns == [1, 1, 1]:
            with pytest.raises(ParameterError, match="drew no silo that holds rows in any round"):
                model.fit_federation(LocalFederation(silos, mode=mode))
            continue
        losses = model.fit_federation(LocalFederation(silos, mode=mode)).loss_curve_
        assert np.isnan(losses).tolist() == [turn == 1 for turn in turns]
        alone = clone(model).set_params(n_rounds=turns.count(0)).fit(X, Y)
        np.testing.assert_allclose(model.params_, alone.params_, atol=1e-5)


def test_a_cohort_of_silos_without_rows_alone_trains_nothing() -> None:
    silos = [Silo("a", X, Y, n_jobs=1), Silo("b", X[:0], Y[:0], n_jobs=1)]
    seed = next(k for k in range(99) if FixedNumber(1).draw(2, k, 0)[0] == 1)
    model = FedAvgClassifier((2,), n_rounds=1, sampling=1, n_jobs=1, random_state=seed)
    with pytest.raises(ParameterError, match="drew no silo that holds rows in any round; draw more"):
        model.fit_federation(LocalFederation(silos))


@pytest.mark.parametrize("least", [0.25, 0.5, 1.0])
def test_weights_count_by_their_ratios_also_where_none_is_above_one(least: float) -> None:
    weight = np.where(SILOS == "a", least, np.where(SILOS == "b", 1.0, 0.5))
    given: dict[str, Any] = {"n_rounds": 3, "batch_size": None, "standardize": False, "n_jobs": 1}
    ours, larger = (
        FedAvgClassifier((3,), **given).fit(X, Y, silos=SILOS, sample_weight=weight * times).params_
        for times in (1.0, 4.0)
    )
    np.testing.assert_allclose(ours, larger, rtol=0, atol=1e-6)
    plain = FedAvgClassifier((3,), **given).fit(X, Y, silos=SILOS).params_
    assert np.abs(ours - plain).max() > 1e-4


def test_initial_weights_are_drawn_by_the_seed() -> None:
    for seed in (0, 1, 7):
        model = FedAvgClassifier((3,), random_state=seed, n_jobs=1).partial_fit(X, Y, classes=[0, 1], n_rounds=0)
        expected = Perceptron([4, 3, 1], "binary:logistic").initial(stream(seed, "initial weights"))
        assert model.params_.tobytes() == expected.tobytes()


# -- what travels -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fedavg", "fednova"])
def test_compressed_updates_cost_what_they_are_said_to(method: str) -> None:
    """Of rounds after the first: a few bits for each number, or places and bits of a few of them, in both modes."""
    sent: dict[str, list[int]] = {}
    for name, compression in (("exact", None), ("rounded", Rounded(8)), ("top", TopK(0.01, 8))):
        for mode in ("fused", "faithful"):
            federation = LocalFederation.from_table(X, Y, silos=SILOS, mode=mode)
            model = FedAvgClassifier((200,), n_rounds=3, method=method, compression=compression, n_jobs=1)
            rounds = model.fit_federation(federation).ledger_.per_round()
            of_rounds = rounds.loc[rounds["kind"].str.contains("LocalUpdate"), "bytes_up"].tolist()
            assert sent.setdefault(name, of_rounds) == of_rounds
    n = Perceptron([4, 200, 1], "binary:logistic").n_params
    assert sent["rounded"][-1] < 3 * 4 * n + 3000 < sent["exact"][-1]
    assert sent["top"][-1] < 3 * 1000 < sent["rounded"][-1] / 2


@pytest.mark.parametrize("lam", [-1e-9, float("nan"), "near"])
def test_a_pull_that_pushes_is_refused(lam: Any) -> None:
    model = FedAvgClassifier((3,), n_rounds=1, n_jobs=1).fit(X, Y)
    with pytest.raises(ParameterError, match=r"^Ditto\(lam=.*: give a number from 0"):
        model.personalize(silo_of("a"), Ditto(lam))
    assert model.personalize(silo_of("a"), Ditto(0)).params_.tobytes() == (
        model.personalize(silo_of("a"), FineTuning(20)).params_.tobytes()
    )


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("layers", [3, 4, 5, 99])
def test_more_layers_than_there_are_are_all(model: str, layers: int) -> None:
    given: dict[str, Any] = {"hidden_layer_sizes": (6, 5), "model": MODELS[model], "n_rounds": 1, "n_jobs": 1}
    with pytest.raises(ParameterError, match=rf"FedPer\({layers}\) leaves nothing to share"):
        FedAvgClassifier(method=FedPer(layers), **given).fit(X, Y)
    fitted = FedAvgClassifier(**given).fit(X, Y)
    own, tuned = (fitted.personalize(silo_of("a"), how).params_ for how in (OwnHead(layers), FineTuning(20)))
    assert own.tobytes() == tuned.tobytes()
