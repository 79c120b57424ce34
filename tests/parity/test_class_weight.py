"""What classes weigh: scikit-learn's trees, no message more, and rows drawn as much oftener."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.class_weight import compute_sample_weight
from test_boosting import BEGIN, a_silo
from test_cart_questions import a_silo_of, classes

from fedtrees import (
    DataError,
    FedExtraTreesClassifier,
    FedForestClassifier,
    FedForestRegressor,
    FedTreeClassifier,
    FedTreeRegressor,
    ParameterError,
    ProtocolError,
)
from fedtrees.core.data.row_ids import MOST_DRAWS
from fedtrees.trees.silo.state import TreeState


def patients(n: int = 3000, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Numbers of few values, so that bins are values; many well, few ill, fewer odd; and their silos."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 60, (n, 6)).astype(float)
    ill = rng.random(n) < 1 / (1 + np.exp(4 - X[:, 0] * X[:, 1] / 600))
    y = np.where(rng.random(n) < 0.05, "odd", np.where(ill, "ill", "well"))
    return X, y, rng.integers(0, 5, n)


GROWN: list[dict[str, Any]] = [
    {"max_depth": 4},
    {"max_depth": 6, "min_weight_fraction_leaf": 0.03},
    {"max_depth": 8, "criterion": "entropy", "min_samples_split": 100},
    {"max_depth": 5, "min_samples_leaf": 30},
    {"max_depth": 8, "min_impurity_decrease": 0.002},
    {"max_depth": 9, "ccp_alpha": 0.003},
    {"max_depth": None, "max_leaf_nodes": 12},
]


@pytest.mark.parametrize("grown", GROWN, ids=str)
@pytest.mark.parametrize("weight", ["balanced", {"ill": 7.3, "odd": 0.2}], ids=str)
def test_trees_are_scikit_learns(grown: dict[str, Any], weight: Any) -> None:
    X, y, silos = patients()
    own = FedTreeClassifier(class_weight=weight, **grown).fit(X, y, silos=silos).model_
    theirs = DecisionTreeClassifier(class_weight=weight, random_state=0, **grown).fit(X, y)
    assert own.tree_.node_count == theirs.tree_.node_count and own.class_weight == weight
    alike = np.abs(own.predict_proba(X) - theirs.predict_proba(X)).max(axis=1) < 1e-9
    assert alike.mean() > 0.97  # of splits that save the same, scikit-learn takes any
    for name in ("n_node_samples", "weighted_n_node_samples"):
        ours, others = (np.sort(getattr(model.tree_, name)) for model in (own, theirs))
        np.testing.assert_allclose(ours, others, rtol=0.05)


def test_balanced_is_the_dict_of_these_weights_and_costs_no_message() -> None:
    X, y, silos = patients()
    labels, counts = np.unique(y, return_counts=True)
    told = dict(zip(labels.tolist(), (len(y) / (3 * counts)).tolist(), strict=True))
    for kind in (FedTreeClassifier, FedForestClassifier, FedExtraTreesClassifier):
        more = {} if kind is FedTreeClassifier else {"n_estimators": 3}
        balanced, by_hand, plain = (
            kind(class_weight=own, max_depth=3, **more).fit(X, y, silos=silos) for own in ("balanced", told, None)
        )
        assert balanced.predict_proba(X).tobytes() == by_hand.predict_proba(X).tobytes()
        assert balanced.ledger_.rounds == plain.ledger_.rounds


def test_weights_of_rows_count_among_what_is_balanced() -> None:
    X, y, silos = patients(600)
    times = np.where(y == "ill", 3, 1)
    often = FedTreeClassifier(class_weight="balanced").fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    heavy = FedTreeClassifier(class_weight="balanced").fit(X, y, silos=silos, sample_weight=times)
    assert heavy.predict_proba(X).tobytes() == often.predict_proba(X).tobytes()


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("more", [{}, {"max_samples": 0.2}, {"max_samples": 400, "min_samples_leaf": 3}], ids=str)
def test_forests_find_rare_classes_as_scikit_learns_do(more: dict[str, Any]) -> None:
    (X, y, silos), (X_new, y_new, _) = patients(), patients(4000, seed=1)
    scores = []
    for seed in range(3):
        given: dict[str, Any] = {"n_estimators": 40, "max_depth": 10, "class_weight": "balanced", "random_state": seed}
        own = FedForestClassifier(**given, **more).fit(X, y, silos=silos)
        theirs = RandomForestClassifier(**given, **more).fit(X, y)
        scores.append([balanced_accuracy_score(y_new, model.predict(X_new)) for model in (own, theirs)])
    ours, others = np.mean(scores, axis=0)
    plain = FedForestClassifier(40, max_depth=10).fit(X, y, silos=silos)
    assert ours > others - 0.02 and ours > balanced_accuracy_score(y_new, plain.predict(X_new)) + 0.02


@pytest.mark.parametrize("scale", [2.0**-60, 2.0**-10, 8.0])
def test_weights_of_classes_are_shares_whatever_their_unit(scale: float) -> None:
    X, y, silos = patients(600)
    given = {"ill": 2.0, "odd": 4.0, "well": 1.0}
    for kind in (FedTreeClassifier, FedForestClassifier, FedExtraTreesClassifier):
        more = {} if kind is FedTreeClassifier else {"n_estimators": 4}
        own, scaled = (
            kind(class_weight={label: weight * by for label, weight in given.items()}, **more).fit(X, y, silos=silos)
            for by in (1.0, scale)
        )
        assert own.predict_proba(X).tobytes() == scaled.predict_proba(X).tobytes()


def test_a_tree_that_drew_no_row_says_the_classes_shares() -> None:
    X, y, silos = patients(300)
    for weight in (None, "balanced"):
        forest = FedForestClassifier(80, max_samples=1, class_weight=weight).fit(X, y, silos=silos)
        empty = [tree for tree in forest.estimators_ if tree.tree_.n_node_samples[0] == 0]
        _, counts = np.unique(y, return_counts=True)
        shares = counts / 300 if weight is None else np.full(3, 1 / 3)
        assert empty
        for tree in empty:
            np.testing.assert_allclose(tree.tree_.value[0, 0], shares, atol=1e-12)
        np.testing.assert_allclose(forest.predict_proba(X).sum(axis=1), 1)
        np.testing.assert_allclose(forest.to_booster().inplace_predict(X), forest.predict_proba(X), atol=1e-5)


def test_rows_of_heavy_classes_are_drawn_oftener_up_to_a_limit() -> None:
    X, y, silos = patients()
    counts = {label: int((y == label).sum()) for label in ("ill", "odd", "well")}
    given = {"ill": 2.0, "odd": 40.0, "well": 0.25}
    more = len(y) / sum(given[label] * counts[label] for label in given)  # as many rows as without weights
    given = {label: weight * more for label, weight in given.items()}
    forest = FedForestClassifier(60, max_depth=1, max_samples=0.5, class_weight=given).fit(X, y, silos=silos)
    roots = np.array([tree.tree_.value[0, 0] * tree.tree_.weighted_n_node_samples[0] for tree in forest.estimators_])
    expected = [0.5 * given[label] * counts[label] for label in ("ill", "odd", "well")]
    np.testing.assert_allclose(roots.mean(axis=0), expected, rtol=0.05)
    drawn = np.mean([tree.tree_.n_node_samples[0] for tree in forest.estimators_])
    times = {label: min(0.5 * weight, MOST_DRAWS) for label, weight in given.items()}
    assert times["odd"] == MOST_DRAWS > times["ill"]
    assert drawn == pytest.approx(sum(times[label] * counts[label] for label in times), rel=0.03)


def test_a_number_of_rows_is_the_share_that_it_is() -> None:
    X, y, silos = patients(500)
    for kind, target in ((FedForestClassifier, y), (FedForestRegressor, X[:, 0])):
        share, number = (kind(4, max_samples=own).fit(X, target, silos=silos).model_ for own in (0.25, 125))
        for one, other in zip(share.estimators_, number.estimators_, strict=True):
            assert one.tree_.value.tobytes() == other.tree_.value.tobytes()
            assert 80 < one.tree_.n_node_samples[0] < 170


@pytest.mark.parametrize("criterion", ["gini", "entropy"])
@pytest.mark.parametrize("more", [{}, {"min_weight_fraction_leaf": 0.05}, {"max_leaf_nodes": 6}, {"max_samples": 1.7}])
def test_classes_that_each_trees_own_rows_balance_are_scikit_learns(criterion: str, more: dict[str, Any]) -> None:
    """A tree of scikit-learn, given the rows that ours drew, weighed as `RandomForestClassifier` weighs them."""
    X, y, silos = patients(800)
    given: dict[str, Any] = {"criterion": criterion, "max_depth": 3, "max_features": None}
    given |= {name: own for name, own in more.items() if name != "max_samples"}
    forest = FedForestClassifier(4, class_weight="balanced_subsample", max_samples=more.get("max_samples"), **given)
    forest.fit(X, y, silos=silos)
    for own, drawn in zip(forest, forest.estimators_samples_, strict=True):
        weight = np.bincount(drawn, minlength=len(y)) * compute_sample_weight("balanced", y, indices=drawn)
        theirs = DecisionTreeClassifier(random_state=0, **given).fit(X, y, sample_weight=weight)
        assert own.tree_.node_count == theirs.tree_.node_count
        rows = X[drawn]  # a gap that no drawn row is in may be cut elsewhere
        alike = np.abs(own.predict_proba(rows) - theirs.predict_proba(rows)).max(axis=1) < 1e-9
        assert alike.mean() > 0.95  # of splits that save the same, scikit-learn takes any
        for name in ("weighted_n_node_samples", "impurity"):
            ours, others = (getattr(tree.tree_, name)[0] for tree in (own, theirs))
            assert ours == pytest.approx(others, rel=1e-9)
        assert own.tree_.n_node_samples[0] == len(drawn)


def test_where_trees_have_all_rows_their_own_balance_is_that_of_all() -> None:
    X, y, silos = patients(300)
    one, other = (
        FedExtraTreesClassifier(4, class_weight=own).fit(X, y, silos=silos).predict_proba(X).tobytes()
        for own in ("balanced", "balanced_subsample")
    )
    assert one == other
    with pytest.raises(ParameterError, match="give 'balanced', a weight for each label in a dict, or None"):
        FedTreeClassifier(class_weight="balanced_subsample").fit(X, y)


@pytest.mark.parametrize("share", [1.5, 4.0, 9.0, 16.0])
def test_trees_may_draw_more_rows_than_there_are(share: float) -> None:
    """As scikit-learn's, whose max_samples has no upper end: so many draws in the mean, of each row by Poisson."""
    X, y, silos = patients(600)
    theirs = RandomForestClassifier(20, max_samples=share, random_state=0).fit(X, y)
    assert len(theirs.estimators_samples_[0]) == int(share * 600)
    forest = FedForestClassifier(20, max_depth=3, max_samples=share).fit(X, y, silos=silos)
    drawn = np.array([len(own) for own in forest.estimators_samples_])
    assert drawn.mean() == pytest.approx(share * 600, rel=0.02)
    assert drawn.std() == pytest.approx(np.sqrt(share * 600), rel=0.7)
    assert drawn.tolist() == [tree.tree_.n_node_samples[0] for tree in forest]
    times = np.bincount(np.concatenate(forest.estimators_samples_), minlength=600)
    assert times.var() == pytest.approx(20 * share, rel=0.25)
    whole = FedForestClassifier(20, max_depth=3, max_samples=int(share * 600)).fit(X, y, silos=silos)
    assert whole.predict_proba(X).tobytes() == forest.predict_proba(X).tobytes()
    numbers = FedForestRegressor(3, max_samples=share, max_features=2).fit(X, X[:, 0], sample_weight=np.full(600, 16.0))
    assert [tree.tree_.weighted_n_node_samples[0] for tree in numbers] == [
        16 * len(r) for r in numbers.estimators_samples_
    ]
    heavy = FedForestClassifier(20, max_depth=2, max_samples=share, class_weight={"odd": 40.0}).fit(X, y, silos=silos)
    odd = np.mean([(y[own] == "odd").sum() for own in heavy.estimators_samples_])
    assert odd == pytest.approx(4 * share * (y == "odd").sum(), rel=0.1)  # up to four times as often, and weighing more
    assert np.mean([tree.tree_.value[0, 0, 1] for tree in heavy]) == pytest.approx(
        40 * (y == "odd").sum() / (40 * (y == "odd").sum() + (y != "odd").sum()), abs=0.02
    )


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"class_weight": "balance"}, "give 'balanced', 'balanced_subsample', a weight for each label in a dict, or None"),
    ({"class_weight": [1, 2]}, "a weight for each label in a dict"),
    ({"class_weight": {"ill": 0}}, "label 'ill' weighs 0; give a number from 5.42101e-20 to 1.84467e\\+19"),
    ({"class_weight": {"ill": -1.0}}, "label 'ill' weighs -1.0"),
    ({"class_weight": {"ill": float("inf")}}, "label 'ill' weighs inf"),
    ({"class_weight": {"ill": True}}, "label 'ill' weighs True"),
    ({"class_weight": {"sick": 2.0}}, r"class_weight names 'sick', which y does not hold. Labels: \['ill', 'odd'"),
    ({"max_samples": 0}, "max_samples=0: give a whole number from 1, or a share above 0 and up to 16"),
    ({"max_samples": 16.1}, "max_samples=16.1"),
    ({"max_samples": float("inf")}, "max_samples=inf"),
    ({"max_samples": True}, "max_samples=True"),
    ({"max_samples": 0.5, "bootstrap": False}, "max_samples=0.5: no tree draws rows without bootstrap=True"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG, ids=lambda own: str(own)[:40])
def test_what_is_no_weight_and_no_share_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        FedForestClassifier(2, **wrong).fit(*patients(100)[:2])


def test_more_rows_than_there_are_cannot_be_drawn() -> None:
    X, y, _ = patients(100)
    with pytest.raises(DataError, match="trees cannot draw 1601 rows each: at the most 16 times the rows, of which"):
        FedForestClassifier(2, max_samples=1601).fit(X, y)


@pytest.mark.parametrize("kind", [FedTreeRegressor, FedForestRegressor])
def test_numbers_have_no_classes_to_weigh(kind: Any) -> None:
    with pytest.raises(TypeError, match=f"^{kind.__name__} has no 'class_weight'"):
        kind(class_weight="balanced")
    assert "class_weight" not in kind().get_params()


@pytest.mark.parametrize("draws", [[1.0, 1.0], [1.0, 1.0, 0.0], [1.0, np.nan, 1.0], [1.0, 1.0, 9.0]], ids=str)
def test_silos_refuse_draws_that_make_no_sense(draws: list[float]) -> None:
    with pytest.raises(ProtocolError, match="rows of 3 classes are drawn as those of"):
        a_silo_of(classes(bootstrap=True, class_draws=np.array(draws)))
    with pytest.raises(ProtocolError, match="several times, or by class, and without bootstrap"):
        a_silo_of(classes(class_draws=np.ones(3)))
    assert len(BEGIN.class_draws) == 0 and a_silo().states.find(TreeState) is None
