"""One class only, as where a fold lacks the others: every classifier is a constant, and warns once."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.base import clone
from sklearn.ensemble import AdaBoostClassifier, ExtraTreesClassifier, RandomForestClassifier
from sklearn.model_selection import KFold, cross_val_predict, cross_val_score
from sklearn.tree import DecisionTreeClassifier

from fedtrees import (
    DataError,
    FedAdaBoostClassifier,
    FedAdaBoostRegressor,
    FedAvgClassifier,
    FedAvgRegressor,
    FedExtraTreesClassifier,
    FedExtraTreesRegressor,
    FedForestClassifier,
    FedForestRegressor,
    FedGBTClassifier,
    FedGBTRegressor,
    FedTreeClassifier,
    FedTreeRegressor,
    LocalFederation,
    MoreTrees,
    OneClassWarning,
    OwnLeaves,
    ParameterError,
    Silo,
    TorchModel,
)
from fedtrees.neural.methods import QFedAvg

KINDS: dict[Any, Any] = {
    FedTreeClassifier(criterion="entropy", ccp_alpha=0.1): DecisionTreeClassifier(),
    FedTreeClassifier(max_leaf_nodes=3, class_weight="balanced"): DecisionTreeClassifier(),
    FedForestClassifier(3, class_weight="balanced_subsample"): RandomForestClassifier(3),
    FedExtraTreesClassifier(3): ExtraTreesClassifier(3),
    FedAdaBoostClassifier(3): AdaBoostClassifier(n_estimators=3),
}
BOOSTED = [
    FedGBTClassifier(3),
    FedGBTClassifier(3, objective="multi:softprob", subsample=0.5),
    FedGBTClassifier(3, objective="multi:softmax", reg_lambda=0, min_child_weight=0),
    FedGBTClassifier(3, objective="binary:logitraw", scale_pos_weight=4),
    FedGBTClassifier(3, objective="binary:hinge", split_on_silo=True),
    FedGBTClassifier(3, mode="bagging"),
    FedGBTClassifier(3, mode="cyclic", objective="multi:softprob"),
]
NETWORKS = [
    FedAvgClassifier((4,), n_rounds=2),
    FedAvgClassifier((), n_rounds=2, alpha=0.5, class_weight="balanced", server="fedadam"),
    *(FedAvgClassifier((4,), n_rounds=2, method=method) for method in ("scaffold", "fednova", "qfedavg")),
]
EVERY = [*KINDS, *BOOSTED, *NETWORKS]
FEW = [FedTreeClassifier(), FedGBTClassifier(3), FedAvgClassifier((4,), n_rounds=2)]
X = np.arange(12.0).reshape(6, 2)
SILOS = np.array(["mayo", "ucla", "ohio", "mayo", "ucla", "ohio"])
LABELS = ["ill", "", 1, 0, -3, 2**63, 1.5e300, True, False]


def named(kind: Any) -> str:
    return type(kind).__name__


def silos(y: Any, **more: Any) -> list[Silo]:
    places = {name: np.flatnonzero(np.equal(SILOS, name)) for name in ("mayo", "ucla", "ohio")}
    return [Silo(name, X[rows], np.asarray(y)[rows], **more) for name, rows in places.items()]


def fitted(model: Any, y: Any, X: Any = X, **more: Any) -> Any:
    """A copy, fitted with exactly one warning: that of one class, which points here."""
    with pytest.warns(OneClassWarning, match="y holds one class only") as caught:
        own = clone(model).fit(X, y, **more)
    assert [(one.category, one.filename) for one in caught] == [(OneClassWarning, __file__)]
    return own


# -- what is predicted --------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("ours", [FedTreeClassifier(), FedForestClassifier(2), BOOSTED[0], NETWORKS[0]], ids=named)
def test_any_label_may_be_the_only_one(ours: Any, label: Any) -> None:
    model = fitted(ours, [label] * 6, silos=SILOS)
    assert model.classes_.tolist() == [label] and model.predict(X).tolist() == [label] * 6


@pytest.mark.parametrize("ours", EVERY, ids=named)
def test_one_class_is_predicted_for_every_row(ours: Any) -> None:
    y, far = np.array(["ill"] * 6), np.array([[1e30, -1e30], [0, 0]])
    model = fitted(ours, y, silos=SILOS)
    assert model.classes_.tolist() == ["ill"]
    for rows in (X, far) if not isinstance(ours, FedAvgClassifier) else (X, far / 1e20):
        assert model.predict(rows).tolist() == ["ill"] * len(rows)
        assert model.predict_proba(rows).tolist() == [[1.0]] * len(rows)  # a column a class
    assert model.score(X, y) == 1
    if hasattr(model, "feature_importances_"):
        assert (model.feature_importances_ == 0).all()
    with pytest.warns(OneClassWarning, match=r"^y holds one class only, 'ill': the model predicts it for every row\.$"):
        apart = clone(ours).fit_federation(LocalFederation(silos(y), mode="faithful"))
    assert apart.predict_proba(X).tolist() == [[1.0]] * 6
    assert apart.ledger_.bytes_up == model.ledger_.bytes_up


@pytest.mark.parametrize("ours", KINDS, ids=named)
def test_trees_by_impurity_are_scikit_learns_constants(ours: Any) -> None:
    y = np.array([7] * 6)
    model, theirs = fitted(ours, y, silos=SILOS), KINDS[ours].fit(X, y)
    for each in (model, model.model_):
        assert each.classes_.tolist() == theirs.classes_.tolist()
        assert each.predict_proba(X).tolist() == theirs.predict_proba(X).tolist() == [[1.0]] * 6
    assert model.to_booster().inplace_predict(X).tolist() == [1.0] * 6
    if hasattr(model, "staged_predict_proba"):
        assert [shares.tolist() for shares in model.staged_predict_proba(X)] == [[[1.0]] * 6]


@pytest.mark.parametrize("objective", ["binary:logistic", "binary:logitraw", "binary:hinge"])
def test_the_booster_is_xgboosts_of_a_second_class_that_no_row_is_of(objective: str) -> None:
    params = {"n_estimators": 3, "objective": objective, "base_score": None}
    theirs = xgboost.XGBClassifier(**params, tree_method="hist").fit(X, np.zeros(6, int))
    for label in (0, "ill"):
        model = fitted(FedGBTClassifier(**params), [label] * 6, silos=SILOS)
        ours, other = (own.predict(X, output_margin=True) for own in (model, theirs))
        np.testing.assert_allclose(ours, other, rtol=2e-6)
        np.testing.assert_allclose(model.intercept_, theirs.intercept_, atol=2e-6)


def test_boosted_models_are_the_same_bytes_whoever_holds_the_rows(tmp_path: Path) -> None:
    raws = {bytes(fitted(BOOSTED[0], [3] * 6, silos=own).booster_.save_raw("json")) for own in (None, SILOS, range(6))}
    assert len(raws) == 1
    model = fitted(BOOSTED[0], [3] * 6)
    model.save_model(tmp_path / "model.json")
    back = FedGBTClassifier().load_model(tmp_path / "model.json")
    assert back.classes_.tolist() == [3] and back.n_classes_ == 1
    assert back.predict_proba(X).tolist() == [[1.0]] * 6 and back.predict(X).tolist() == [3] * 6
    assert [shares.tolist() for shares in back.staged_predict_proba(X)] == [[[1.0]] * 6] * 3
    plain = xgboost.XGBClassifier()
    plain.load_model(tmp_path / "model.json")
    assert plain.predict(X).tolist() == [0] * 6  # whose classes are numbers from 0


def test_networks_are_constants_of_the_layers_that_were_asked_for() -> None:
    model = fitted(NETWORKS[0], ["ill"] * 6, silos=SILOS)
    assert [own.shape for own in model.coefs_] == [(2, 4), (4, 1)] and (model.coefs_[1] == 0).all()
    np.testing.assert_allclose(model.decision_function(X), np.log(1e-6), rtol=1e-6)  # of what is not ill
    assert model.predict_log_proba(X).tolist() == [[0.0]] * 6 and model.out_activation_ == "logistic"
    assert model.n_rounds_ == len(model.loss_curve_) == 2 and 0 < model.loss_ < 2e-6
    torch = pytest.importorskip("torch")

    def linear(features: int, outputs: int) -> Any:
        return torch.nn.Sequential(torch.nn.Linear(features, 3), torch.nn.ReLU(), torch.nn.Linear(3, outputs))

    def without_bias(features: int, outputs: int) -> Any:
        return torch.nn.Linear(features, outputs, bias=False)

    for module in (linear, without_bias):
        own = fitted(NETWORKS[0].set_params(model=TorchModel(module)), ["ill"] * 6, silos=SILOS)
        assert own.predict(X * 1e6).tolist() == ["ill"] * 6
        assert len(np.unique(own.decision_function(X))) == (1 if module is linear else 6)
    NETWORKS[0].set_params(model=None)


# -- where one class comes from -----------------------------------------------------------------------------


@pytest.mark.parametrize("ours", EVERY, ids=named)
def test_rows_of_weight_0_are_as_good_as_absent(ours: Any) -> None:
    y = np.array([0, 1] * 3)
    if named(ours) == "FedAvgClassifier" and ours.class_weight == "balanced":
        ours = clone(ours).set_params(class_weight={1: 3.0})
    model = fitted(ours, y, sample_weight=y, silos=SILOS)
    assert model.classes_.tolist() == [1] and model.predict(X).tolist() == [1] * 6


@pytest.mark.parametrize("ours", EVERY, ids=named)
def test_a_class_of_silos_without_weight_is_never_predicted(ours: Any) -> None:
    y, weighting = np.array([0, 1, 0, 0, 1, 0]), {"mayo": 1.0, "ucla": 0.0, "ohio": 2.0}
    text = "y holds one class only among the rows that are trained on and weigh more than 0, 0: the model"
    with pytest.warns(OneClassWarning, match=text):
        model = clone(ours).set_params(weighting=weighting).fit(X, y, silos=SILOS)
    theirs = DecisionTreeClassifier().fit(X, y, sample_weight=1 - y)
    assert model.classes_.tolist() == theirs.classes_.tolist() == [0, 1]
    assert model.predict(X).tolist() == theirs.predict(X).tolist() == [0] * 6
    assert model.predict_proba(X).shape == (6, 2)
    if ours in KINDS and not isinstance(ours, FedAdaBoostClassifier):  # whose probabilities are a softmax of votes
        assert model.predict_proba(X).tolist() == theirs.predict_proba(X).tolist() == [[1.0, 0.0]] * 6


@pytest.mark.parametrize("ours", [BOOSTED[0], BOOSTED[1], NETWORKS[0]], ids=named)
def test_rows_that_are_held_out_leave_one_class(ours: Any) -> None:
    y = np.array([0, 0, 0, 0, 0, 1])
    said, model = [], clone(ours).set_params(validation_fraction=0.5)
    for seed in range(9):  # of which some hold the last row out
        with warnings.catch_warnings(record=True, action="always") as caught:
            model.set_params(random_state=seed).fit(X, y)
        assert model.classes_.tolist() == [0, 1]
        said.append("".join(str(one.message) for one in caught))
        if said[-1]:
            assert said[-1].startswith("y holds one class only among the rows that are trained on")
            assert model.predict(X).tolist() == [0] * 6
    assert 0 < len([text for text in said if text]) < 9


@pytest.mark.parametrize(
    ("ours", "metrics"),
    [
        (FedGBTClassifier(9, early_stopping_rounds=2), ["logloss", "error", "aucpr", "auc"]),
        (FedGBTClassifier(9, early_stopping_rounds=2), ["auc", "merror", "mlogloss"]),
        (FedAvgClassifier((4,), n_rounds=9, patience=2), ["logloss", "error", "aucpr", "auc"]),
        (FedAvgClassifier((4,), n_rounds=9, patience=2), ["auc", "merror", "mlogloss"]),
    ],
    ids=str,
)
def test_evaluation_sets_of_one_class_are_scored(ours: Any, metrics: list[str]) -> None:
    y = ["ill"] * 6
    model = fitted(clone(ours).set_params(eval_metric=metrics), y, silos=SILOS, eval_set=[(X, y)], eval_silos=[SILOS])
    scores = model.evals_result_["validation_0"]
    for name, own in scores.items():
        assert len(own) == 3 and (np.isnan(own).all() if name.startswith("auc") else max(own) < 2e-6)
    with pytest.raises(DataError, match="label 'well'"):
        clone(ours).fit(X, y, eval_set=[(X, ["well"] * 6)])


def test_xgboosts_scores_of_one_class_are_ours() -> None:
    options: dict[str, Any] = {"n_estimators": 2, "eval_metric": ["logloss", "error"]}
    theirs = xgboost.XGBClassifier(**options).fit(X, [0] * 6, eval_set=[(X, [0] * 6)], verbose=False)
    ours = fitted(FedGBTClassifier(**options), [0] * 6, eval_set=[(X, [0] * 6)])
    for name, scores in theirs.evals_result()["validation_0"].items():
        np.testing.assert_allclose(ours.evals_result_["validation_0"][name], scores, rtol=0.05, atol=1e-12)


@pytest.mark.parametrize("objective", ["binary:logistic", "binary:logitraw", "binary:hinge"])
def test_columns_of_labels_that_are_constant(objective: str) -> None:
    y = np.array([[0, 1, 0], [0, 1, 1]] * 3)
    with pytest.warns(OneClassWarning, match=r"^y holds one class only, 0 in column 0, 1 in column 1: the model pred"):
        ours = FedGBTClassifier(3, objective=objective).fit(X, y, silos=SILOS)
    theirs = xgboost.XGBClassifier(n_estimators=3, objective=objective).fit(X, y)
    assert (ours.predict(X)[:, :2] == y[:, :2]).all() and (theirs.predict(X)[:, :2] == y[:, :2]).all()
    margins = [own.predict(X, output_margin=True) for own in (ours, theirs)]
    np.testing.assert_allclose(*margins, rtol=0.01, atol=1e-6)


@pytest.mark.filterwarnings("ignore::fedtrees.OneClassWarning")
@pytest.mark.parametrize("ours", FEW, ids=named)
def test_folds_that_lack_a_class_are_scored_and_predicted(ours: Any) -> None:
    y = np.array([1, 1, 0, 0, 0, 0])
    folds = KFold(3)
    assert cross_val_score(ours, X, y, cv=folds)[0] == cross_val_score(DecisionTreeClassifier(), X, y, cv=folds)[0] == 0
    with pytest.warns(RuntimeWarning, match="Number of classes in training fold"):  # which every classifier gets
        shares = cross_val_predict(ours, X, y, cv=folds, method="predict_proba")
    assert shares[:2].tolist() == [[1.0, 0.0]] * 2


# -- going on -----------------------------------------------------------------------------------------------


def test_boosting_goes_on_with_rows_of_fewer_classes() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 2))
    names = np.array(["a", "b", "c"])[np.digitize(rows[:, 0], [-0.5, 0.5])]
    first = FedGBTClassifier(3).fit(rows, names)
    of_one = names == "b"
    more = FedGBTClassifier(2).fit(rows[of_one], names[of_one], xgb_model=first)  # no constant, so no warning
    assert more.classes_.tolist() == ["a", "b", "c"]
    before, after = (own.predict_proba(rows)[:, 1] for own in (first, more))
    assert (after >= before).all() and (after > before).any()
    places = np.searchsorted(first.classes_, names)
    params = {"objective": "multi:softprob", "num_class": 3, "max_depth": 6}
    matrix = xgboost.DMatrix(rows[of_one], places[of_one])
    theirs = xgboost.train(params, matrix, 2, xgb_model=first.booster_.copy())
    np.testing.assert_allclose(more.predict_proba(rows), theirs.inplace_predict(rows), atol=1e-5)
    again = fitted(FedGBTClassifier(2), ["a"] * 6, xgb_model=fitted(BOOSTED[0], ["a"] * 6))
    assert again.booster_.num_boosted_rounds() == 5 and again.predict(X).tolist() == ["a"] * 6
    with pytest.raises(DataError, match=r"a model of the classes \['a', 'b', 'c'\], and y holds \['d'\]"):
        FedGBTClassifier(2).fit(X, ["d"] * 6, xgb_model=first)
    plain = xgboost.XGBClassifier(n_estimators=2).fit(rows, places > 0)
    assert FedGBTClassifier(2).fit(X, [1] * 6, xgb_model=plain).classes_.tolist() == [0, 1]
    with pytest.raises(DataError, match=r"a model of the classes \[0, 1\], and y holds \['a'\]"):
        FedGBTClassifier(2).fit(X, ["a"] * 6, xgb_model=plain)


def test_networks_go_on() -> None:
    model = FedAvgClassifier((4,), n_rounds=2, warm_start=True)
    for rounds in (2, 4):
        with pytest.warns(OneClassWarning):
            assert model.fit(X, [3] * 6).n_rounds_ == rounds
    for classes in ([3], None):
        own = FedAvgClassifier((4,))
        for _ in range(2):
            with pytest.warns(OneClassWarning):
                own.partial_fit(X, [3] * 6, classes=classes)
        assert own.predict(X).tolist() == [3] * 6 and own.classes_.tolist() == [3]
        with pytest.raises(DataError, match="label 4 was not among the classes of the first call"):
            own.partial_fit(X, [4] * 6)
    both = FedAvgClassifier((4,)).partial_fit(X, [3] * 6, classes=[3, 4])  # rows of the other may follow: no constant
    assert len(np.unique(both.decision_function(X))) > 1 and both.partial_fit(X, [4] * 6).classes_.tolist() == [3, 4]
    with pytest.raises(ParameterError, match="name at least one class"):
        FedAvgClassifier().partial_fit(X, [3] * 6, classes=[])


def test_a_network_of_several_classes_goes_on_where_rows_of_one_alone_weigh() -> None:
    rows, y = np.tile(X, (2, 1)), np.repeat([0, 1], 6)
    model = FedAvgClassifier((4,), n_rounds=2, warm_start=True, n_jobs=1).fit(rows, y, silos=y)
    before = model.params_
    again = model.set_params(weighting={"0": 1, "1": 0}).fit(rows, y, silos=y)  # and is not made constant
    assert (again.params_ != before).any() and len(np.unique(again.decision_function(rows))) > 1
    with pytest.warns(OneClassWarning):
        fresh = clone(model).fit(rows, y, silos=y)
    assert len(np.unique(fresh.decision_function(rows))) == 1


def test_a_module_is_trained_that_is_constant_in_some_outputs_only() -> None:
    torch = pytest.importorskip("torch")

    class Partly(torch.nn.Module):  # type: ignore[misc]
        """Of rows alone the first output; the others are numbers."""

        def __init__(self, features: int, outputs: int):
            super().__init__()
            self.first, self.rest = torch.nn.Linear(features, 1), torch.nn.Parameter(torch.zeros(outputs - 1))

        def forward(self, rows: Any) -> Any:
            return torch.cat([self.first(rows), self.rest.expand(len(rows), -1)], dim=1)

    rows, y = np.tile(X, (3, 1)), np.repeat([0, 1, 2], 6)
    given: dict[str, Any] = {"model": TorchModel(Partly), "weighting": {"0": 1, "1": 0, "2": 0}, "n_jobs": 1}
    with pytest.warns(OneClassWarning):
        start = FedAvgClassifier(**given).partial_fit(rows, y, silos=y, n_rounds=0).params_
    with pytest.warns(OneClassWarning):
        model = FedAvgClassifier(n_rounds=3, **given).fit(rows, y, silos=y)
    assert (model.params_ != start).all()


def test_a_module_whose_last_biases_stand_apart_is_trained() -> None:
    torch = pytest.importorskip("torch")

    class Biases(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.own = torch.nn.Parameter(torch.zeros(1))

        def forward(self, said: Any) -> Any:
            return said + self.own

    factory = TorchModel(lambda a, b: torch.nn.Sequential(torch.nn.Linear(a, b, bias=False), Biases()))
    with pytest.warns(OneClassWarning):
        model = FedAvgClassifier(model=factory, n_rounds=20, learning_rate=0.5, n_jobs=1).fit(X, [3] * 6)
    assert model.predict(X).tolist() == [3] * 6 and len(np.unique(model.decision_function(X))) > 1


PERSONAL: dict[str, Callable[[Silo], Any]] = {
    "trees": lambda silo: fitted(BOOSTED[0], ["ill"] * 6).personalize(silo, MoreTrees(2)),
    "leaves": lambda silo: fitted(BOOSTED[1], ["ill"] * 6).personalize(silo, OwnLeaves()),
    "silo": lambda silo: fitted(BOOSTED[4], ["ill"] * 6, silos=SILOS).personalize(silo),
    "network": lambda silo: fitted(NETWORKS[0], ["ill"] * 6).personalize(silo),
    "head": lambda silo: fitted(FedAvgClassifier((4,), n_rounds=2, method="fedper"), ["ill"] * 6).personalize(silo),
}


@pytest.mark.parametrize("case", PERSONAL)
def test_personal_models_are_constants_too(case: str) -> None:
    own = PERSONAL[case](silos(["ill"] * 6)[0])
    assert own.predict(X).tolist() == ["ill"] * 6 and own.predict_proba(X).tolist() == [[1.0]] * 6


# -- constant numbers ---------------------------------------------------------------------------------------


CONSTANT: dict[str, tuple[Any, list[float]]] = {
    "tree": (FedTreeRegressor(), [0, 5, -5, 0.3, 1e-30, 1e30]),
    "tree of counts": (FedTreeRegressor(criterion="poisson"), [5, 1e-30]),
    "forest": (FedForestRegressor(3), [0, 5, -0.3]),
    "extra trees": (FedExtraTreesRegressor(3), [0, 5, -0.3]),
    "AdaBoost": (FedAdaBoostRegressor(3), [0, 5, -0.3]),
    "squares": (FedGBTRegressor(3), [0, 5, -0.3, 1e-30, 1e30]),
    "absolute": (FedGBTRegressor(3, objective="reg:absoluteerror"), [0, 5, -0.3, 1e-30, 1e30]),
    "quantile": (FedGBTRegressor(3, objective="reg:quantileerror", quantile_alpha=0.9), [0, 5, -0.3]),
    "gamma": (FedGBTRegressor(3, objective="reg:gamma"), [5, 0.3, 1e-30, 1e30]),
    "tweedie": (FedGBTRegressor(3, objective="reg:tweedie"), [5, 0.3, 1e-30]),
    "poisson": (FedGBTRegressor(3, objective="count:poisson"), [5, 0.3, 1e-30]),
    "share": (FedGBTRegressor(3, objective="reg:logistic"), [0, 0.3, 1]),
    "network": (FedAvgRegressor((4,), n_rounds=2), [0, 5, -0.3, 1e-30, 1e30]),
    "network of counts": (FedAvgRegressor((4,), n_rounds=2, loss="poisson"), [0, 5, 0.3, 1e-30]),
    "linear": (FedAvgRegressor((), n_rounds=2, alpha=0.5, server="fedyogi"), [0, 5, -0.3]),
    "scaffold": (FedAvgRegressor((4,), n_rounds=2, method="scaffold"), [5]),
    "q-FedAvg": (FedAvgRegressor((4,), n_rounds=2, method=QFedAvg(3.0)), [0, 5]),
}


@pytest.mark.parametrize("case", CONSTANT)
def test_a_constant_target_is_predicted(case: str) -> None:
    ours, values = CONSTANT[case]
    for value in values:
        model = clone(ours).fit(X, np.full(6, value), silos=SILOS)
        np.testing.assert_allclose(model.predict(X * 100), np.full(6, value), rtol=2e-6, atol=2e-6 * (case == "share"))


def test_a_target_that_never_changes_beside_others() -> None:
    y = np.stack([X[:, 0], np.full(6, 7.0)], axis=1)
    for loss in ("squared_error", "poisson"):
        model = FedAvgRegressor((4,), n_rounds=3, loss=loss).fit(X, y, silos=SILOS)
        np.testing.assert_allclose(model.predict(X)[:, 1], 7.0, rtol=1e-6)
        assert len(np.unique(model.predict(X)[:, 0])) > 1
    grown = FedAvgRegressor((4,), learning_rate=0.1).partial_fit(X, np.full(6, 7.0))
    assert (grown.predict(X) == 7).all()
    for _ in range(50):  # later rows may differ
        grown.partial_fit(X, X[:, 0] / 11 + 6.5)
    assert grown.score(X, X[:, 0] / 11 + 6.5) > 0.5


IMPOSSIBLE: dict[str, tuple[Any, str]] = {
    "poisson": (FedGBTRegressor(objective="count:poisson"), "y is 0 in every row"),
    "tweedie": (FedGBTRegressor(objective="reg:tweedie"), "y is 0 in every row"),
    "gamma": (FedGBTRegressor(objective="reg:gamma"), "a number of 0 or less"),
    "cox": (FedGBTRegressor(objective="survival:cox"), "nothing ever happens"),
    "tree": (FedTreeRegressor(criterion="poisson"), "y is 0 in every row"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_zeros_that_mean_nothing_are_refused(case: str) -> None:
    model, text = IMPOSSIBLE[case]
    with pytest.raises(DataError, match=text):
        clone(model).fit(X, np.zeros(6), silos=SILOS)
