"""Boosted splits exactly at what they must reach, as XGBoost makes them, and what forests of few rows may send."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xgboost

from fedtrees import FedForestClassifier, FedForestRegressor, FedGBTClassifier, FedGBTRegressor, LocalFederation, Silo

X = np.arange(8.0)[:, None]
Y = np.array([0, 0, 8, 8, 32, 32, 64, 64], np.float32)
GIVEN: dict[str, Any] = {"n_estimators": 1, "max_depth": 3, "reg_lambda": 0.0, "base_score": 0.0, "learning_rate": 1.0}


def leaves(model: Any) -> int:
    booster = model.booster_ if hasattr(model, "booster_") else model.get_booster()
    return int((booster.trees_to_dataframe().Feature == "Leaf").sum())


@pytest.mark.parametrize("least", [1, 2, 2.001, 3, 4, 4.0001, 8])
def test_children_may_weigh_exactly_the_least(least: float) -> None:
    given = GIVEN | {"min_child_weight": least}
    ours = FedGBTRegressor(**given, n_jobs=1).fit(X, Y, silos=np.arange(8) % 3)
    theirs = xgboost.XGBRegressor(**given, tree_method="hist").fit(X, Y)
    assert leaves(ours) == leaves(theirs) == {1: 4, 2: 4, 4: 2}.get(least, leaves(theirs))
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-6)


def test_a_split_may_gain_exactly_gamma() -> None:
    """Of squares and powers of two, gains are whole: 4608 at the root, 128 and 2048 below."""
    whole = FedGBTRegressor(**GIVEN, n_jobs=1).fit(X, Y).booster_.trees_to_dataframe()
    gains = sorted(set(whole.Gain[whole.Feature != "Leaf"].tolist()))
    assert gains == sorted(own for own in gains if own == round(own))
    for gain in gains:
        for gamma in (gain, float(np.nextafter(np.float32(gain), np.float32(np.inf)))):
            ours = FedGBTRegressor(**GIVEN, gamma=gamma, n_jobs=1).fit(X, Y, silos=np.arange(8) % 2)
            theirs = xgboost.XGBRegressor(**GIVEN, gamma=gamma, tree_method="hist").fit(X, Y)
            np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-6)


@pytest.mark.parametrize("shares", [(5, 3, 2), (60, 39, 1), (1, 1, 1)])
def test_margins_of_many_classes_start_where_xgboosts_do(shares: tuple[int, ...]) -> None:
    y = np.repeat(np.arange(3), shares)
    table = np.zeros((len(y), 1))
    given: dict[str, Any] = {"n_estimators": 1, "learning_rate": 1e-9, "objective": "multi:softprob"}
    ours = FedGBTClassifier(**given, n_jobs=1).fit(table, y, silos=np.arange(len(y)) % 2)
    theirs = xgboost.XGBClassifier(**given, tree_method="hist").fit(table, y)
    margins = [
        own.predict(xgboost.DMatrix(table[:1]), output_margin=True) for own in (ours.booster_, theirs.get_booster())
    ]
    np.testing.assert_allclose(margins[0], margins[1], rtol=1e-5, atol=1e-6)
    expected = np.log(np.array(shares) / len(y) + 1e-6)
    np.testing.assert_allclose(margins[0][0], expected - expected.mean(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shares", [(5, 5), (6, 5), (5, 6), (1, 9)], ids=str)
def test_a_hinge_starts_on_the_side_of_the_heavier_class_as_xgboosts(shares: tuple[int, int]) -> None:
    y = np.repeat([0, 1], shares)
    table = np.zeros((len(y), 1))
    given: dict[str, Any] = {"n_estimators": 1, "learning_rate": 1e-9, "objective": "binary:hinge"}
    ours = FedGBTClassifier(**given, n_jobs=1).fit(table, y, silos=np.arange(len(y)) % 2)
    theirs = xgboost.XGBClassifier(**given, tree_method="hist").fit(table, y)
    margins = [
        own.predict(xgboost.DMatrix(table[:1]), output_margin=True) for own in (ours.booster_, theirs.get_booster())
    ]
    np.testing.assert_allclose(margins[0], margins[1], atol=1e-6)


@pytest.mark.parametrize("features", [1, 2])
@pytest.mark.parametrize("kind", [FedForestRegressor, FedForestClassifier])
def test_few_rows_touch_no_more_sums_than_silos_may_send(kind: Any, features: int) -> None:
    """A row of numbers adds to two of a bin's sums, one of classes to one: as many travel, of hundreds of bins."""
    rng = np.random.default_rng(0)
    table, y = rng.normal(size=(200, 3)), rng.normal(size=200) + 5
    y = y if kind is FedForestRegressor else (y > 5).astype(int)
    silos = [Silo(str(k), table[k::100], y[k::100], n_jobs=1) for k in range(100)]
    found = []
    for mode in ("fused", "faithful"):
        model = kind(2, max_depth=2, max_features=features, random_state=0, n_jobs=1)
        model.fit_federation(LocalFederation(silos, mode=mode, n_jobs=1))
        found.append((model.predict(table).tobytes(), model.ledger_.bytes_up, model.ledger_.bytes_down))
    assert found[0] == found[1]


def test_classes_that_weigh_alike_draw_rows_as_without_weights() -> None:
    rng = np.random.default_rng(0)
    table, y = rng.normal(size=(300, 3)), rng.integers(0, 2, 300)
    plain, alike, light = (
        FedForestClassifier(3, class_weight=weight, max_depth=3, random_state=0, n_jobs=1).fit(
            table, y, row_id=np.arange(300)
        )
        for weight in (None, {0: 3.0, 1: 3.0}, {0: 0.125, 1: 0.125})
    )
    assert (
        plain.predict_proba(table).tobytes()
        == alike.predict_proba(table).tobytes()
        == light.predict_proba(table).tobytes()
    )
    heavy = FedForestClassifier(3, class_weight={0: 1, 1: 3}, max_depth=1, random_state=0, n_jobs=1).fit(table, y)
    drawn = [own.tree_.n_node_samples[0] for own in heavy.estimators_]
    assert all(220 < n < 380 for n in drawn)  # rows of one class oftener, and of both together as many
