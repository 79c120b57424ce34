"""FedAvgClassifier and FedAvgRegressor: scikit-learn's checks, what parameters mean, personal models."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fedtrees import (
    DataError,
    DivergenceError,
    FedAvgClassifier,
    FedAvgRegressor,
    LocalFederation,
    ParameterError,
    SchemaError,
    Silo,
    expected_failed_checks,
)
from fedtrees.neural.compression import Rounded, TopK
from fedtrees.neural.methods import FedProx
from fedtrees.neural.optimisers import FedAdam
from fedtrees.neural.personal import Ditto, FineTuning, OwnHead

X, Y = load_breast_cancer(return_X_y=True)
CLINICS = np.array(["mayo", "ucla", "ohio"])[np.arange(len(Y)) % 3]
SMALL = {"hidden_layer_sizes": (8,), "n_jobs": 1}


@pytest.fixture(autouse=True)
def no_threads_are_left() -> Any:
    before = set(threading.enumerate())
    yield
    assert not [own for own in set(threading.enumerate()) - before if own.name.startswith("fedtrees")]


@pytest.mark.filterwarnings("ignore::fedtrees.OneClassWarning")
@parametrize_with_checks(
    [FedAvgClassifier(**SMALL), FedAvgRegressor(**SMALL)], expected_failed_checks=expected_failed_checks
)
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


# -- what is learnt -----------------------------------------------------------------------------------------


def test_without_hidden_layers_it_is_ridge_regression() -> None:
    """Outside reference: scikit-learn's, on columns and targets that are scaled as here."""
    table, y = load_diabetes(return_X_y=True)
    alpha, n = 0.01, len(y)
    model = FedAvgRegressor((), n_rounds=3000, batch_size=None, learning_rate=0.1, upload="gradients", alpha=alpha)
    model.fit(table, y, silos=np.arange(n) % 5)
    Z, z = (table - table.mean(0)) / table.std(0), (y - y.mean()) / y.std()
    theirs = Ridge(alpha * n, solver="cholesky").fit(Z, z)
    np.testing.assert_allclose(model.coefs_[0][:, 0], theirs.coef_, rtol=0, atol=2e-3)
    np.testing.assert_allclose(model.predict(table), theirs.predict(Z) * y.std() + y.mean(), rtol=0, atol=0.3)


@pytest.mark.parametrize("method", ["fedavg", "fedprox", "scaffold", "fednova", "qfedavg"])
def test_every_method_learns_three_classes_over_silos_that_hold_two(method: str) -> None:
    table, y = load_iris(return_X_y=True)
    silos = (np.arange(150) // 25).astype(str)  # two silos a class
    model = FedAvgClassifier((16,), n_rounds=60, method=method, batch_size=8).fit(table, y, silos=silos)
    assert model.score(table, y) > 0.9
    assert model.loss_curve_[-1] < model.loss_curve_[0] / 2 and model.n_rounds_ == len(model.loss_curve_) == 60


@pytest.mark.parametrize("server", ["fedavg", "fedavgm", "fedadagrad", "fedadam", "fedyogi"])
def test_every_server_optimiser_learns(server: str) -> None:
    model = FedAvgClassifier((8,), n_rounds=30, server=server, sampling=0.7).fit(X, Y, silos=CLINICS)
    assert model.score(X, Y) > 0.95


@pytest.mark.parametrize("compression", [Rounded(4), Rounded(8), TopK(0.05)])
def test_fewer_bytes_learn_nearly_as_well(compression: Any) -> None:
    whole = FedAvgClassifier((32,), n_rounds=40, weighting="rows").fit(X, Y, silos=CLINICS)
    small = FedAvgClassifier((32,), n_rounds=40, compression=compression).fit(X, Y, silos=CLINICS)
    assert small.score(X, Y) > whole.score(X, Y) - 0.02

    def up(model: FedAvgClassifier) -> float:
        rounds = model.ledger_.per_round()
        return float(rounds.bytes_up[rounds.kind == "LocalUpdate"].iloc[-1])

    assert up(small) < up(whole) * (0.2 if isinstance(compression, TopK) else 0.8)


def test_every_schedule_is_what_it_says() -> None:
    for schedule, decay, factor in (
        ("constant", 0.1, [1, 1, 1]),
        ("exponential", 0.1, [1, 0.9, 0.81]),
        ("inverse", 0.5, [1, 1 / 1.5, 0.5]),
        ("cosine", 0.1, [1, 0.75, 0.25]),
        (lambda round: 0.5**round, 0.1, [1, 0.5, 0.25]),
    ):
        model = FedAvgRegressor((), n_rounds=3, batch_size=None, schedule=schedule, decay=decay, standardize=False)
        table, y = np.ones((4, 1)), np.zeros(4)
        model.fit(table, y)
        # with one column of ones and targets of 0, a step of rate r takes weight and bias w, b to w - r (w + b), ...
        w, b = (float(own) for own in FedAvgRegressor((), standardize=False).partial_fit(table, y, n_rounds=0).params_)
        for rate in factor:
            w, b = w - 0.1 * rate * (w + b), b - 0.1 * rate * (w + b)
        assert model.params_ == pytest.approx([w, b], abs=1e-6)


# -- evaluation, and when to stop ---------------------------------------------------------------------------


def test_scores_of_evaluation_sets_are_those_of_the_model_and_the_best_round_stays() -> None:
    train = np.arange(len(Y)) % 4 > 0
    model = FedAvgClassifier((8,), n_rounds=200, eval_metric=["auc", "logloss"], patience=5, learning_rate=0.5)
    model.fit(X[train], Y[train], silos=CLINICS[train], eval_set=[(X[~train], Y[~train])], eval_silos=[CLINICS[~train]])
    scores = model.evals_result_["validation_0"]["logloss"]
    best = int(np.argmin(scores))
    assert len(scores) == best + 6 == model.n_rounds_ < 200
    p = model.predict_proba(X[~train]).astype(np.float64)
    assert sklearn.metrics.log_loss(Y[~train], p / p.sum(1, keepdims=True)) == pytest.approx(scores[best], rel=1e-4)


def test_it_stops_where_the_target_is_reached() -> None:
    model = FedAvgClassifier((8,), n_rounds=200, eval_metric="error", target_score=0.04, validation_fraction=0.25)
    model.fit(X, Y, silos=CLINICS)
    errors = model.evals_result_["validation_0"]["error"]
    assert len(errors) < 200 and errors[-1] <= 0.04 < min(errors[:-1])
    maximised = FedAvgClassifier((8,), n_rounds=200, eval_metric="auc", target_score=0.98, validation_fraction=0.25)
    areas = maximised.fit(X, Y, silos=CLINICS).evals_result_["validation_0"]["auc"]
    assert areas[-1] >= 0.98 > max(areas[:-1])


def test_without_evaluation_sets_patience_looks_at_the_training_loss() -> None:
    model = FedAvgClassifier((), n_rounds=5000, learning_rate=2.0, patience=3).fit(X, Y, silos=CLINICS)
    losses = model.loss_curve_
    assert len(losses) == int(np.argmin(losses)) + 4 < 5000


def test_two_targets_are_scored_by_rows_of_both() -> None:
    table, y = load_diabetes(return_X_y=True)
    both = np.stack([y, 2 * y], axis=1)
    model = FedAvgRegressor((), n_rounds=5).fit(table, both, eval_set=[(table, both)])
    rmse = np.sqrt(((model.predict(table) - both) ** 2).mean())
    assert model.evals_result_["validation_0"]["rmse"][-1] == pytest.approx(rmse, rel=1e-5)


# -- going on -----------------------------------------------------------------------------------------------


def test_more_rounds_are_the_same_as_all_at_once() -> None:
    common: dict[str, Any] = {"hidden_layer_sizes": (8,), "sampling": 0.7, "method": "fedprox", "server": "fedadam"}
    whole = FedAvgClassifier(n_rounds=6, **common).fit(X, Y, silos=CLINICS)
    bit = FedAvgClassifier(**common)
    for _ in range(3):
        bit.partial_fit(X, Y, silos=CLINICS, n_rounds=2)
    warm = FedAvgClassifier(n_rounds=3, warm_start=True, **common).fit(X, Y, silos=CLINICS).fit(X, Y, silos=CLINICS)
    assert whole.params_.tobytes() == bit.params_.tobytes() == warm.params_.tobytes()
    assert whole.loss_curve_ == bit.loss_curve_ == warm.loss_curve_ and bit.n_rounds_ == 6
    cold = FedAvgClassifier(n_rounds=3, **common).fit(X, Y, silos=CLINICS).fit(X, Y, silos=CLINICS)
    assert cold.n_rounds_ == 3


def test_the_first_call_may_name_classes_that_come_later() -> None:
    table, y = load_iris(return_X_y=True)
    model = FedAvgClassifier((8,), learning_rate=0.2).partial_fit(table[:100], y[:100], classes=[0, 1, 2])
    for _ in range(40):
        model.partial_fit(table, y)
    assert model.classes_.tolist() == [0, 1, 2] and model.score(table, y) > 0.9
    with pytest.raises(DataError, match=r"label 7 was not among the classes of the first call, \[0, 1, 2\]"):
        model.partial_fit(table, np.where(y == 1, 7, y))
    with pytest.raises(DataError, match=r"X has 3 features, but FedAvgClassifier is expecting 4 features"):
        model.partial_fit(table[:, :3], y)


def test_what_was_learnt_before_it_diverged_stays() -> None:
    table, y = load_diabetes(return_X_y=True)
    model = FedAvgRegressor((8,), n_rounds=50, schedule=lambda round: 1.0 if round < 4 else 1e6)
    with pytest.raises(DivergenceError, match=r"silo 'all', round 4: .*lower learning_rate"):
        model.fit(table, y)
    assert model.n_rounds_ == 4 == len(model.loss_curve_) and model.ledger_.rounds > 4
    same = FedAvgRegressor((8,), n_rounds=4).fit(table, y)
    np.testing.assert_array_equal(model.predict(table), same.predict(table))


# -- personal models ----------------------------------------------------------------------------------------


def moved_apart() -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[Any]]:
    """Silos that agree on what to look at, and not on what it means."""
    rng = np.random.default_rng(0)
    silos, table = np.repeat(["a", "b", "c", "d"], 200), rng.normal(size=(800, 5)).astype(np.float32)
    turned = np.where(np.isin(silos, ["a", "b"]), 1, -1)
    return table, ((table[:, 0] + 0.5 * table[:, 1]) * turned > 0).astype(int), silos


@pytest.mark.parametrize("how", [None, FineTuning(10), Ditto(0.01), Ditto(1.0), OwnHead(1)], ids=repr)
def test_a_personal_model_fits_its_silo_better(how: Any) -> None:
    table, y, silos = moved_apart()
    shared = FedAvgClassifier((16,), n_rounds=20).fit(table, y, silos=silos)
    before = shared.params_.copy()
    own = silos == "c"
    silo = Silo("c", table[own][::2], y[own][::2])
    personal = shared.personalize(silo, how)
    assert personal.score(table[own][1::2], y[own][1::2]) > shared.score(table[own][1::2], y[own][1::2]) + 0.1
    assert (shared.params_ == before).all()
    assert personal.params_.tobytes() == shared.personalize(silo, how).params_.tobytes()


def test_the_larger_lam_the_nearer_to_the_shared_model() -> None:
    table, y, silos = moved_apart()
    shared = FedAvgClassifier((16,), n_rounds=5).fit(table, y, silos=silos)
    silo = Silo("c", table[silos == "c"], y[silos == "c"])
    far = [np.linalg.norm(shared.personalize(silo, Ditto(lam)).params_ - shared.params_) for lam in (0.01, 0.3, 3.0)]
    assert far[0] > far[1] > far[2] > 0


def test_fedper_shares_the_body_and_each_silo_trains_its_head() -> None:
    table, y, silos = moved_apart()
    model = FedAvgClassifier((16,), n_rounds=20, method="fedper").fit(table, y, silos=silos)
    plain = FedAvgClassifier((16,), n_rounds=20).fit(table, y, silos=silos)
    rounds, others = (own.ledger_.per_round() for own in (model, plain))
    sent = rounds.integers[rounds.kind == "LocalUpdate"].iloc[0]
    assert others.integers[others.kind == "LocalUpdate"].iloc[0] - sent == 17
    with pytest.raises(ParameterError, match=r"predict with what personalize\(silo\) returns"):
        model.predict(table)
    for name in "ac":
        own = silos == name
        assert model.personalize(Silo(name, table[own][::2], y[own][::2])).score(table[own][1::2], y[own][1::2]) > 0.85


# -- copies and companions ----------------------------------------------------------------------------------


def test_it_is_cloned_pickled_searched_and_put_into_pipelines() -> None:
    model = FedAvgClassifier((8,), n_rounds=5, method=FedProx(0.1), server=FedAdam(0.02), compression=Rounded(10))
    assert clone(model).get_params() == model.get_params()
    model.fit(X, Y, silos=CLINICS)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert again.partial_fit(X, Y, silos=CLINICS).n_rounds_ == 6
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = FedAvgClassifier((8,), n_rounds=20).set_fit_request(silos=True)
        pipeline = make_pipeline(MinMaxScaler(), estimator)
        assert cross_val_score(pipeline, X, Y, params={"silos": CLINICS}, cv=3).mean() > 0.9
        search = GridSearchCV(pipeline, {"fedavgclassifier__learning_rate": [1e-4, 0.1]}, cv=3)
        search.fit(X, Y, silos=CLINICS)
        assert search.best_params_ == {"fedavgclassifier__learning_rate": 0.1}


def test_frames_keep_their_names_and_federations_their_silos() -> None:
    frame = pd.DataFrame(X, columns=[f"c{place}" for place in range(30)])
    model = FedAvgClassifier((8,), n_rounds=3).fit(frame, Y, silos=CLINICS)
    assert model.feature_names_in_.tolist() == list(frame) and model.coefs_[0].shape == (30, 8)
    parts = [Silo(name, frame[name == CLINICS], Y[name == CLINICS], n_jobs=1) for name in np.unique(CLINICS)]
    for mode in ("fused", "faithful"):
        federation = LocalFederation(parts, mode=mode, n_jobs=1)
        other = FedAvgClassifier((8,), n_rounds=3).fit_federation(federation)
        assert other.params_.tobytes() == model.params_.tobytes()
    with pytest.raises(SchemaError, match="c0"):
        model.predict(frame.rename(columns={"c0": "other"}))


@pytest.mark.parametrize("weighting", ["rows", "equal", {"a": 1.0, "b": 0.3}])
def test_of_one_step_of_all_rows_scaffold_is_federated_averaging_however_silos_count(weighting: Any) -> None:
    """With one step there is no drift: the server's variate has to be the mean of the silos', of all their weight."""
    table, y = load_diabetes(return_X_y=True)
    silos = np.where(np.arange(len(y)) < 8, "a", "b")
    common: dict[str, Any] = {"n_rounds": 20, "batch_size": None, "weighting": weighting, "hidden_layer_sizes": ()}
    plain = FedAvgRegressor(**common).fit(table, y, silos=silos)
    scaffold = FedAvgRegressor(method="scaffold", **common).fit(table, y, silos=silos)
    np.testing.assert_allclose(scaffold.loss_curve_, plain.loss_curve_, rtol=1e-4)


def test_runs_that_follow_each_other_begin_with_new_control_variates() -> None:
    table, y = load_diabetes(return_X_y=True)
    silos = np.arange(len(y)) % 3
    common: dict[str, Any] = {"batch_size": None, "learning_rate": 0.3, "hidden_layer_sizes": ()}
    scaffold, plain = FedAvgRegressor(method="scaffold", **common), FedAvgRegressor(**common)
    for _ in range(30):
        scaffold.partial_fit(table, y, silos=silos)
        plain.partial_fit(table, y, silos=silos)
    assert scaffold.score(table, y) == pytest.approx(plain.score(table, y), abs=1e-3)


def test_a_large_loss_is_told_as_it_is() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(300, 3))
    y = table @ [30.0, 20.0, -40.0] + 100
    model = FedAvgRegressor((), n_rounds=40, learning_rate=0.001, standardize=False, patience=5).fit(table, y)
    assert len(model.loss_curve_) == 40 and model.loss_curve_[0] > 1000 and np.diff(model.loss_curve_).max() < 0


def test_the_round_that_reaches_the_target_is_kept_whatever_the_patience() -> None:
    model = FedAvgClassifier(
        (4,), n_rounds=200, learning_rate=0.02, batch_size=8, eval_metric="error", patience=100, target_score=0.03,
        validation_fraction=0.3,
    ).fit(X, Y, silos=CLINICS)  # fmt: skip
    assert model.evals_result_["validation_0"]["error"][-1] <= 0.03
    assert model.params_ is model._network.params


def test_rows_of_a_batch_count_what_they_weigh_in_the_silo() -> None:
    """However small the batches: alone in one, a heavy row still moves the model further."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(400, 1))
    y = np.where(np.arange(400) < 200, table[:, 0], -table[:, 0])
    weight = np.where(np.arange(400) < 200, 10.0, 1.0)
    for batch, rate in ((1, 0.0005), (4, 0.002), (400, 0.2)):
        model = FedAvgRegressor((), batch_size=batch, n_rounds=60, learning_rate=rate, standardize=False)
        model.fit_federation(LocalFederation([Silo("a", table, y, sample_weight=weight, n_jobs=1)], n_jobs=1))
        assert model.coefs_[0][0, 0] == pytest.approx(9 / 11, abs=0.06)
    huge = FedAvgClassifier((4,), n_rounds=30)
    huge.fit_federation(LocalFederation([Silo("a", X, Y, sample_weight=np.full(len(Y), 3e38), n_jobs=1)], n_jobs=1))
    assert huge.score(X, Y) > 0.9


def test_other_methods_and_servers_do_not_go_on_from_where_others_were() -> None:
    model = FedAvgClassifier((4,), n_rounds=1, warm_start=True).fit(X, Y)
    for other in ({"method": "scaffold"}, {"server": "fedadam"}):
        changed = pickle.loads(pickle.dumps(model)).set_params(**other)
        with pytest.raises(ParameterError, match=r"and the earlier training had (FedAvg|Averaging)"):
            changed.fit(X, Y)


def test_a_personal_model_that_is_trained_again_is_no_personal_one() -> None:
    table, y, silos = moved_apart()
    model = FedAvgClassifier((8,), n_rounds=3, method="fedper").fit(table, y, silos=silos)
    personal = model.personalize(Silo("a", table[silos == "a"], y[silos == "a"]))
    personal.predict(table)
    personal.partial_fit(table, y, silos=silos)
    with pytest.raises(ParameterError, match="predict with what personalize"):
        personal.predict(table)


def test_rows_beyond_all_bounds_are_refused() -> None:
    table, y = load_iris(return_X_y=True)
    model = FedAvgClassifier((8,), n_rounds=3).fit(table, y)
    with pytest.raises(DataError, match="row 1 holds numbers too large for the network"):
        model.predict(np.array([table[0], [3e38] * 4]))


def test_silos_of_no_weight_train_and_count_nothing() -> None:
    table, y, silos = moved_apart()
    only = np.isin(silos, ["a", "b"])
    model = FedAvgClassifier((8,), n_rounds=5, weighting={"a": 1, "b": 3, "c": 0, "d": 0}, standardize=False)
    model.fit(table, y, silos=silos)
    other = FedAvgClassifier((8,), n_rounds=5, weighting={"a": 1, "b": 3}, standardize=False)
    other.fit(table[only], y[only], silos=silos[only])
    np.testing.assert_allclose(model.params_, other.params_, rtol=0, atol=1e-4)


def test_equal_silos_count_the_same_however_unequal_their_rows() -> None:
    rng = np.random.default_rng(0)
    sizes = [5000, 3]
    silos = np.repeat(["a", "b"], sizes)
    table = np.ones((5003, 1))
    y = np.where(silos == "a", 1.0, -1.0) + 1e-9 * rng.normal(size=5003)
    model = FedAvgRegressor(
        (), n_rounds=1, batch_size=None, learning_rate=0.5, weighting="equal", standardize=False
    ).fit(table, y, silos=silos)
    w = FedAvgRegressor((), standardize=False).partial_fit(table, y, n_rounds=0).params_
    each = [w - 0.5 * (w.sum() - own) for own in (1.0, -1.0)]
    np.testing.assert_allclose(model.params_, np.mean(each, axis=0), rtol=0, atol=1e-6)


def test_no_silos_scale_leaks_into_another_s() -> None:
    """Columns are scaled by all rows: silos that measure in other units are not made alike."""
    model = FedAvgClassifier((8,), n_rounds=1).fit(X, Y, silos=CLINICS)
    pooled = FedAvgClassifier((8,), n_rounds=1).fit(X, Y)
    moments, other = model._network.moments, pooled._network.moments
    assert moments.mean.tobytes() == other.mean.tobytes() and moments.deviation.tobytes() == other.deviation.tobytes()
