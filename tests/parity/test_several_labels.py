"""Several labels a row, as XGBClassifier has them: a column of 0 and 1, an output and a tree a round each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import accuracy_score
from sklearn.model_selection import cross_val_score
from sklearn.utils import get_tags
from strategies import Problem, Watched, bring_up_to_date, examples, problems

from fedtrees import DataError, FedAvgClassifier, FedGBTClassifier, LocalFederation, ParameterError, SchemaError, Silo
from fedtrees.trees.silo.state import TreeState

X, Y = make_multilabel_classification(400, 6, n_classes=4, random_state=0)
X = X.astype(np.float32)
WEIGHT = np.random.default_rng(0).uniform(0.5, 2, 400).astype(np.float32)
SILO = np.arange(400) % 3
SMALL: dict[str, Any] = {"n_estimators": 6, "max_depth": 3, "n_jobs": 1, "max_bin": 64}


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["alike", "weighted"])
@pytest.mark.parametrize(
    "params", [{}, {"scale_pos_weight": 3.0}, {"objective": "binary:hinge"}, {"num_parallel_tree": 2}], ids=str
)
def test_labels_are_predicted_and_scored_as_xgboost_does(params: dict[str, Any], weight: Any) -> None:
    ours = FedGBTClassifier(**SMALL, **params).fit(X, Y, silos=SILO, sample_weight=weight, eval_set=[(X, Y)])
    theirs = xgboost.XGBClassifier(**SMALL, **params).fit(X, Y, sample_weight=weight, eval_set=[(X, Y)], verbose=False)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-5)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=2e-5)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    assert ours.n_classes_ == theirs.n_classes_ == 2 and ours.predict(X).dtype == np.int64
    assert ours.score(X, Y) == accuracy_score(Y, theirs.predict(X))
    for name, scores in theirs.evals_result()["validation_0"].items():
        if name != "error":  # of which XGBoost sees margins of hinge, and not what it predicts
            assert ours.evals_result()["validation_0"][name] == pytest.approx(scores, rel=1e-4)
    margin = theirs.predict(X, output_margin=True)
    np.testing.assert_allclose(ours.predict(X, output_margin=True), margin, atol=2e-5)


def test_a_hinge_is_scored_by_what_it_predicts() -> None:
    for y in (Y, Y[:, 0]):
        model = FedGBTClassifier(**SMALL, objective="binary:hinge").fit(X, y, silos=SILO, eval_set=[(X, y)])
        wrong = [np.mean(model.predict(X, iteration_range=(0, k + 1)) != y) for k in range(6)]
        assert model.evals_result()["validation_0"]["error"] == pytest.approx(wrong)


@examples(10)
@given(
    problem=problems(most_silos=5, objectives=["binary:hinge", "binary:logistic", "binary:logitraw"]),
    labels=st.integers(2, 4),
)
def test_any_partition_gives_the_pooled_model_whose_margins_are_those_of_training(
    problem: Problem, labels: int
) -> None:
    y = np.stack([np.roll(problem.y, k) for k in range(labels)], axis=1)
    pooled = problem.estimator().fit(problem.X, y, sample_weight=problem.weight)
    for mode in ("fused", "faithful"):
        silos = []
        for k in range(problem.n_silos):
            own = problem.silo == k
            weight = None if problem.weight is None else problem.weight[own]
            rows = y[own] if own.any() or k % 2 else []
            silos.append(Silo(f"silo {k}", problem.X[own], rows, sample_weight=weight, n_jobs=1))
        federation = Watched(LocalFederation(silos, mode=mode))
        apart = problem.estimator().fit_federation(federation)
        assert apart.booster_.save_raw("ubj") == pooled.booster_.save_raw("ubj")
        assert federation.log is not None
        silo = federation.inner._fused if mode == "fused" else silos[int(problem.silo[0])]
        bring_up_to_date(silo, federation.log)
        rows = silo.table.X if silo.table.order is None else silo.table.X[silo.table.order]
        margin = apart.booster_.inplace_predict(rows, predict_type="margin", validate_features=False)
        assert silo.states.find(TreeState).margin.T.tobytes() == margin.tobytes()


def test_scikit_learn_knows_and_files_keep_them(tmp_path: Path) -> None:
    assert get_tags(FedGBTClassifier()).classifier_tags.multi_label
    assert cross_val_score(FedGBTClassifier(**SMALL), X, Y, cv=3).mean() > 0.3
    model = FedGBTClassifier(**SMALL).fit(X, Y.astype(bool), silos=SILO)
    assert model.predict_proba(X).tobytes() == FedGBTClassifier(**SMALL).fit(X, Y).predict_proba(X).tobytes()
    model.save_model(tmp_path / "ours.json")
    xgboost.XGBClassifier(**SMALL).fit(X, Y).save_model(tmp_path / "theirs.json")
    for name in ("ours", "theirs"):
        read = FedGBTClassifier().load_model(tmp_path / f"{name}.json")
        assert read.predict(X).shape == Y.shape and read.classes_.tolist() == [0, 1] and read.score(X, Y) > 0.5
    more = FedGBTClassifier(**SMALL).fit(X, Y, silos=SILO, xgb_model=tmp_path / "ours.json")
    assert more.booster_.save_raw() == FedGBTClassifier(**SMALL | {"n_estimators": 12}).fit(X, Y).booster_.save_raw()
    for mode in ("bagging", "cyclic"):
        assert FedGBTClassifier(**SMALL, mode=mode).fit(X, Y, silos=SILO).score(X, Y) > 0.4


@pytest.mark.parametrize("columns", [2, 3])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_model_of_xgboosts_is_read_for_as_many_classes_or_labels_as_it_has(
    columns: int, classes: int, tmp_path: Path
) -> None:
    rows, several = X[:60], np.stack([np.arange(60) % 2, np.arange(60) // 30, np.arange(60) % 3 // 2], axis=1)
    for y in (np.arange(60) % classes, several[:, :columns]):
        theirs = xgboost.XGBClassifier(n_estimators=2, max_depth=2).fit(rows, y)
        theirs.save_model(tmp_path / "theirs.json")
        read = FedGBTClassifier().load_model(tmp_path / "theirs.json")
        assert read.classes_.tolist() == np.unique(y).tolist()
        np.testing.assert_array_equal(read.predict(rows), theirs.predict(rows))
        np.testing.assert_allclose(read.predict_proba(rows), theirs.predict_proba(rows), rtol=1e-6)
        assert read.score(rows, y) == theirs.score(rows, y)


def test_labels_that_are_none_are_refused_by_name() -> None:
    with pytest.raises(DataError, match="silo 'all': y, row 3: 2 is neither 0 nor 1; of several labels a row"):
        FedGBTClassifier(**SMALL).fit(X, np.where(np.arange(400)[:, None] == 3, 2, Y))
    for wrong, text in (
        (np.where(np.arange(400)[:, None] == 3, 2, Y), "y, row 3: 2 is neither 0 nor 1; of several labels a row"),
        (-Y, "y, row .*: -1 is neither 0 nor 1"),
        (Y / 2, "y, row .*: 0.5 is neither 0 nor 1"),
        (Y[:, 0], "y has 1 columns, and y of the rows to train on has"),
        (np.column_stack([Y, Y]), "y has .* columns, and y of the rows to train on has"),
    ):
        for mode in ("histogram", "bagging"):
            model = FedGBTClassifier(**SMALL, mode=mode)
            with pytest.raises(DataError, match=f"^validation_1: silo 'all': {text}"):
                model.fit(X, Y, eval_set=[(X, Y), (X, wrong)])
        for kind in ("fused", "faithful"):
            silos = [Silo("a", X, Y, eval_set=[(X, Y)]), Silo("b", X, Y, eval_set=[(X, wrong)])]
            with pytest.raises(DataError, match=f"^validation_0: silo 'b': {text}|^silo 'b', .*y has .* columns"):
                FedGBTClassifier(**SMALL).fit_federation(LocalFederation(silos, mode=kind))
    with pytest.raises(ParameterError, match="objective='multi:softprob' is for one label a row, and y has several"):
        FedGBTClassifier(**SMALL, objective="multi:softprob").fit(X, Y)
    with pytest.raises(ParameterError, match="eval_metric='auc' is for one label a row; of several"):
        FedGBTClassifier(**SMALL, eval_metric="auc").fit(X, Y)
    with pytest.raises(DataError, match="silo 'all': y has 4 columns; a classifier needs one label a row"):
        FedAvgClassifier().fit(X, Y)
    silos = [Silo("a", X[:9], Y[:9]), Silo("b", X[9:], Y[9:, 0])]
    with pytest.raises(SchemaError, match="silo 'b', unlike silo 'a': y has 1 columns, not 4"):
        LocalFederation(silos)
    empty = [Silo("none", X[:0], []), Silo("b", X, Y)]
    with pytest.raises(DataError, match="silo 'b': y has 4 columns; a classifier needs one label a row"):
        FedAvgClassifier().fit_federation(LocalFederation(empty))
    own = FedGBTClassifier(**SMALL).fit_federation(LocalFederation(empty))
    assert own.booster_.save_raw() == FedGBTClassifier(**SMALL).fit(X, Y).booster_.save_raw()
