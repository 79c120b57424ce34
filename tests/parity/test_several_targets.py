"""Several targets at once: a tree an output, as XGBoost's ``one_output_per_tree``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from strategies import CLASSES, Problem, Watched, bring_up_to_date, examples, problems

from fedtrees import DataError, FedGBTClassifier, FedGBTRegressor, LocalFederation, ProtocolError, SchemaError, Silo
from fedtrees.trees.messages.training import Begin
from fedtrees.trees.silo.state import TreeState

RNG = np.random.default_rng(0)
X = np.round(RNG.normal(size=(300, 3)), 1).astype(np.float32)
Y = np.stack([X[:, 0], X[:, 1] * 3 + 1, -X[:, 2] * X[:, 0]], axis=1) + RNG.normal(size=(300, 3)) / 5
WEIGHT = RNG.uniform(0.5, 2, 300)
SMALL: dict[str, Any] = {"n_estimators": 4, "max_depth": 3, "n_jobs": 1}


def silos_of(problem: Problem, y: np.ndarray[Any, Any]) -> list[Silo]:
    return [
        Silo(
            f"silo {k}", problem.table(own), y[own] if own.any() or k % 2 else [],
            sample_weight=None if problem.weight is None else problem.weight[own], n_jobs=1,
        )
        for k in range(problem.n_silos)
        for own in [problem.silo == k]
    ]  # fmt: skip


@examples(12)
@given(
    problem=problems(most_silos=5, categories=True, objectives=[name for name, n in sorted(CLASSES.items()) if not n]),
    targets=st.integers(2, 3),
)
def test_any_partition_gives_the_pooled_model_whose_margins_are_those_of_training(
    problem: Problem, targets: int
) -> None:
    squared = problem.objective == "reg:squarederror"  # which takes any numbers; others need theirs
    y = np.stack([np.roll(problem.y, k) * (1 + 9 * k * squared) for k in range(targets)], axis=1)
    pooled = problem.estimator().fit(problem.table(), y, sample_weight=problem.weight)
    for mode in ("fused", "faithful"):
        silos = silos_of(problem, y)
        federation = Watched(LocalFederation(silos, mode=mode))
        apart = problem.estimator().fit_federation(federation)
        assert apart.booster_.save_raw("ubj") == pooled.booster_.save_raw("ubj")
        assert federation.log is not None
        for silo in [federation.inner._fused] if mode == "fused" else silos:
            silo.forget()
            bring_up_to_date(silo, federation.log)
            table = silo.table
            if table.n_rows:
                rows = table.X if table.order is None else table.X[table.order]
                margin = apart.booster_.inplace_predict(rows, predict_type="margin", validate_features=False)
                assert silo.states.find(TreeState).margin.T.tobytes() == margin.tobytes()


@pytest.mark.parametrize("weight", [None, WEIGHT, np.arange(300) % 4])
def test_predictions_and_scores_are_xgboosts(weight: Any) -> None:
    weights = None if weight is None else [weight]
    options: dict[str, Any] = {"sample_weight": weight, "eval_set": [(X, Y)], "sample_weight_eval_set": weights}
    ours = FedGBTRegressor(**SMALL).fit(X, Y, silos=np.arange(300) % 3, **options)
    theirs = xgboost.XGBRegressor(**SMALL, tree_method="hist").fit(X, Y, **options, verbose=False)
    counts = slice(None) if weight is None else weight > 0  # cut points lie between rows that count
    np.testing.assert_allclose(ours.predict(X)[counts], theirs.predict(X)[counts], atol=1e-4)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-6)
    np.testing.assert_allclose(ours.feature_importances_, theirs.feature_importances_, atol=1e-4)
    own, other = (model.evals_result()["validation_0"]["rmse"] for model in (ours, theirs))
    np.testing.assert_allclose(own, other, rtol=1e-5)
    margin = RNG.normal(size=(300, 3))
    starts = [model.predict(X, base_margin=margin)[counts] for model in (ours, theirs)]
    np.testing.assert_allclose(*starts, atol=1e-4)


def test_each_target_alone_gives_its_trees_where_their_grids_are_the_same() -> None:
    both = FedGBTRegressor(**SMALL).fit(X, np.stack([Y[:, 0], Y[:, 0]], axis=1))
    alone = FedGBTRegressor(**SMALL).fit(X, Y[:, 0])
    assert both.predict(X)[:, 0].tolist() == both.predict(X)[:, 1].tolist()
    np.testing.assert_allclose(both.predict(X)[:, 0], alone.predict(X), rtol=1e-4, atol=1e-5)


def test_a_file_brings_it_back_and_training_goes_on(tmp_path: Path) -> None:
    model = FedGBTRegressor(**SMALL).fit(X, Y)
    model.save_model(tmp_path / "model.json")
    back = FedGBTRegressor().load_model(tmp_path / "model.json")
    assert back.predict(X).tobytes() == model.predict(X).tobytes() and model.predict(X).dtype == np.float64
    theirs = xgboost.XGBRegressor()
    theirs.load_model(tmp_path / "model.json")
    assert theirs.predict(X).astype(np.float64).tobytes() == model.predict(X).tobytes()
    longer = FedGBTRegressor(**SMALL).fit(X, Y, xgb_model=back)
    assert longer.booster_.num_boosted_rounds() == 8 and longer.score(X, Y) > model.score(X, Y)


@pytest.mark.parametrize("targets", [2, 5])
def test_as_many_equal_numbers_as_there_are_targets_fit_every_answer(targets: int) -> None:
    """Over real bytes: each of them is counted in one place, more often than there are rows."""
    y = np.full((40, targets), 3.0)
    y[:, 0] = np.arange(40) % 2 + 2
    silos = [Silo(f"{k}", X[:40][k::2], y[k::2], sample_weight=np.full(20, 0.7), n_jobs=1) for k in range(2)]
    models = [
        FedGBTRegressor(**SMALL).fit_federation(LocalFederation(silos, mode=mode, n_jobs=1))
        for mode in ("fused", "faithful")
    ]
    assert models[0].booster_.save_raw() == models[1].booster_.save_raw()
    assert models[0].predict(X[:40]).reshape(40, -1)[:, 1:].round(4).tolist() == y[:, 1:].tolist()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="neither 0 nor 1; of several labels a row"):
        FedGBTClassifier(**SMALL).fit(X, 2 * (Y[:, :2] > 0))
    with pytest.raises(DataError, match="y, row 7: NaN, infinity or None"):
        FedGBTRegressor(**SMALL).fit(X, np.where(np.arange(300)[:, None] == 7, np.nan, Y))
    with pytest.raises(DataError, match=r"y has the shape \(300, 2, 2\) and X has 300 rows"):
        FedGBTRegressor(**SMALL).fit(X, np.zeros((300, 2, 2)))
    with pytest.raises(DataError, match="base_margin has 2 columns for 3 outputs"):
        FedGBTRegressor(**SMALL).fit(X, Y, base_margin=np.zeros((300, 2)))
    for columns, outputs in ((4, 3), (3, 2), (1, 2), (2, 1)):
        margins = np.zeros((300, columns))
        text = f"base_margin has {columns} columns for {outputs} outputs"
        y = Y[:, 0] if outputs == 1 else Y[:, :outputs]
        with pytest.raises(DataError, match=text):
            FedGBTRegressor(**SMALL).fit(X, y, base_margin=margins)
        with pytest.raises(DataError, match=text):
            FedGBTRegressor(**SMALL).fit(X, y, eval_set=[(X, y)], base_margin_eval_set=[margins])
    with pytest.raises(DataError, match="xgb_model: a model of 2 outputs, and this training has 3"):
        FedGBTRegressor(**SMALL).fit(X, Y, xgb_model=FedGBTRegressor(**SMALL).fit(X, Y[:, :2]))
    two, three = Silo("two", X, Y[:, :2]), Silo("three", X, Y)
    for mode in ("fused", "faithful"):
        with pytest.raises(SchemaError, match="silo 'three', unlike silo 'two': y has 3 columns, not 2"):
            FedGBTRegressor(**SMALL).fit_federation(LocalFederation([two, three], mode=mode))
    empty = np.zeros(0, np.float32)
    begin = Begin("reg:squarederror", None, np.zeros(2, np.float32), empty, np.zeros(4, np.int64), np.ones(3, bool))
    with pytest.raises(ProtocolError, match="margins of 2 outputs are not those of reg:squarederror of 3 targets"):
        begin.apply(three)
