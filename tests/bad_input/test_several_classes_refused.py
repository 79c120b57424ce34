"""Several columns of classes: what is refused and warned of, the search for splits, and its messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from several_classes import IDS, MANY_Y, ONE_EACH, SILOS, WEIGHT, X, Y
from sklearn.ensemble import AdaBoostClassifier, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import compute_sample_weight
from strategies import examples

from fedtrees import (
    DataError,
    DataTypeError,
    FedAdaBoostClassifier,
    FedExtraTreesClassifier,
    FedForestClassifier,
    FedGBTClassifier,
    FedTreeClassifier,
    LocalFederation,
    ParameterError,
    ProtocolError,
    SchemaError,
    Silo,
)
from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.numeric.threads import Threads
from fedtrees.core.protocol.start_messages import LabelsByColumn
from fedtrees.trees.messages.class_factors import OutputClassSums, TreeFactors
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.server.impurity import Impurity
from fedtrees.trees.server.output_weights import balanced
from fedtrees.trees.server.split import Grounds, Limits, Units

# -- what is refused, and warned of ---------------------------------------------------------------------------


def test_what_has_no_meaning_for_several_outputs_is_refused() -> None:
    for kind in (AdaBoostClassifier, FedAdaBoostClassifier):
        with pytest.raises(ValueError, match=r"1d array|y has 3 columns; FedAdaBoostClassifier is for one"):
            kind().fit(X, Y)
    for kind in (RandomForestClassifier, FedForestClassifier):
        with pytest.raises(ValueError, match=r"multiclass-multioutput|y has 3 columns, and column 1 holds 4"):
            kind(oob_score=True).fit(X, Y)
        with pytest.raises(ValueError, match="onotonic"):
            kind(monotonic_cst=[1, 0, 0, 0]).fit(X, MANY_Y[np.arange(300) % 250])
    for kind in (DecisionTreeClassifier, FedTreeClassifier):
        model = kind().fit(X, Y)
        with pytest.raises(ValueError, match="multiclass-multioutput is not supported"):
            model.score(X, Y)
        with pytest.raises((ValueError, TypeError), match="parse"):
            kind().fit(X, csr_array(Y))
    with pytest.raises(DataTypeError, match="y is a sparse matrix; give an array"):
        FedForestClassifier().fit(X, csr_array(Y))
    with pytest.raises(DataError, match=r"y: label 0\.5 was not there in training"):
        FedTreeClassifier().fit(X, Y).score(X, np.where(Y == 3, 0.5, Y))
    assert FedTreeClassifier(max_depth=1).fit(X, Y).n_outputs_ == 3


WEIGHTS: list[tuple[Any, str]] = [
    ({0: 2.0}, "y has 3 columns; give a list of a dict for each"),
    ([{0: 2.0}], r"1 entries for 3 columns of y"),
    ([{}, {5: 2.0}, {}], r"class_weight names 5, which column 1 of y does not hold. Labels: \[0, 1, 2, 3\]"),
    ([{}, {1: 0}, {}], "label 1 weighs 0"),
    ([{}, None, {}], "give 'balanced', a weight for each label in a dict"),
    ("balanced_subsample", "give 'balanced', a weight for each label in a dict"),
]


@pytest.mark.parametrize(("weight", "message"), WEIGHTS, ids=str)
def test_what_is_no_weight_of_several_columns_is_refused(weight: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        FedTreeClassifier(class_weight=weight).fit(X, Y)


def test_weights_by_column_are_for_several_and_may_span_orders() -> None:
    with pytest.raises(ParameterError, match="a list is for several columns of y; give a dict"):
        FedTreeClassifier(class_weight=[{0: 1.0}]).fit(X, Y[:, 0])
    heavy = [{0: 1e4}, {3: 1e-3}, {}]
    own, theirs = (
        kind(max_depth=3, class_weight=heavy).fit(X, Y) for kind in (FedTreeClassifier, DecisionTreeClassifier)
    )
    for one, other in zip(own.predict_proba(X), theirs.predict_proba(X), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    with pytest.raises(DataError, match="the heaviest row weighs about"):
        FedTreeClassifier(class_weight=[{0: 1e12}, {3: 1e-12}, {}]).fit(X, Y)


def test_wrong_labels_are_named_by_silo_column_and_row() -> None:
    with pytest.raises(DataError, match="silo 'all': y, column 1, row 3: NaN, infinity or None"):
        FedTreeClassifier().fit(X, np.where((IDS[:, None] == 3) & (np.arange(3) == 1), np.nan, Y))
    silos = [Silo("a", X[:9], Y[:9]), Silo("b", X[9:], np.where(np.arange(3) == 2, Y[9:] + 0.5, Y[9:]))]
    with pytest.raises(DataError, match="silo 'b': y, column 2, row 0: Unknown label type: y is continuous"):
        FedTreeClassifier().fit_federation(LocalFederation(silos, mode="faithful"))
    with pytest.raises(SchemaError, match="silo 'b', unlike silo 'a': y has 2 columns, not 3"):
        LocalFederation([Silo("a", X[:9], Y[:9]), Silo("b", X[9:], Y[9:, :2])])
    with pytest.raises(DataError, match="row 0: a text; give numbers in several columns"):
        FedGBTClassifier(n_estimators=1).fit(X, np.array(["a", "b"])[Y % 2])
    many = np.stack([np.arange(1200) % 2, np.arange(1200)], axis=1)
    with pytest.raises(DataError, match="column 1 of y holds 1200 classes; trees by impurity are for 510"):
        FedTreeClassifier().fit(np.arange(1200.0)[:, None], many)


@pytest.mark.filterwarnings(ONE_EACH)
@pytest.mark.parametrize("kind", [FedTreeClassifier, FedForestClassifier, FedExtraTreesClassifier])
def test_columns_of_one_class_are_warned_of(kind: Any) -> None:
    y = np.stack([Y[:, 0], np.full(len(Y), 5), np.full(len(Y), 6)], axis=1)
    with pytest.warns(UserWarning, match="y holds one class only, 5 in column 1, 6 in column 2: the model"):
        model = kind(max_depth=2).fit(X, y, silos=SILOS)
    assert (model.predict(X)[:, 1:] == [5, 6]).all() and model.n_classes_ == [2, 1, 1]
    with pytest.warns(UserWarning, match="y holds one class only, 5 in column 0, 6 in column 1: the model"):
        model = kind(max_depth=2).fit(X, y[:, 1:])
    assert [shares.tolist() for shares in model.predict_proba(X[:2])] == [[[1.0], [1.0]]] * 2


def test_other_columns_of_labels_do_not_go_on() -> None:
    model = FedForestClassifier(2, max_depth=2, warm_start=True).fit(X, Y).set_params(n_estimators=3)
    with pytest.raises(DataError, match="y holds the classes"):
        model.fit(X, np.where(Y == 3, 2, Y))
    with pytest.raises(DataError, match="y has 2 targets, and the earlier training had 3"):
        model.fit(X, Y[:, :2])
    assert len(model.fit(X, Y)) == 3


# -- the search for splits, and messages ----------------------------------------------------------------------


@pytest.mark.parametrize("criterion", ["gini", "entropy"])
@examples(60)
@given(
    seed=st.integers(0, 2**16), outputs=st.integers(2, 3), classes=st.integers(2, 4), apart=st.booleans(),
    leaf=st.sampled_from([1, 4, 0.2]),
)  # fmt: skip
def test_splits_are_those_of_an_exhaustive_search(
    criterion: str, seed: int, outputs: int, classes: int, apart: bool, leaf: float
) -> None:
    rng, unit = np.random.default_rng(seed), 0.5
    rows, bins = int(rng.integers(2, 25)), 6
    place, y = rng.integers(0, bins, rows), rng.integers(0, classes, (rows, outputs))
    weight = rng.integers(1, 4, rows) if apart else np.ones(rows, np.int64)
    each = np.concatenate([np.eye(classes, dtype=np.int64)[own] * weight[:, None] for own in y.T], axis=1) * 2
    if apart:  # an output more, where rows weigh as they count
        each = np.concatenate([each, np.full((rows, 1), 2), np.zeros((rows, classes - 1), np.int64)], axis=1)
    sums = np.stack([np.bincount(place, weights=own, minlength=bins) for own in each.T]).astype(np.int64)
    total, blocks = sums.sum(axis=1), outputs + apart
    cuts = Cuts(np.arange(bins, dtype=np.float32), np.array([0, bins]), np.zeros(1, bool))
    rule = Impurity(criterion, classes, min_samples_leaf=leaf, counts_apart=apart).of_outputs(blocks)
    grounds = Grounds(cuts, Units(unit, unit), Threads(1), Limits(roots=total[None]))
    splits = rule.splits(sums[None], np.zeros(1, np.int64), total[None], grounds)
    least = leaf * rows if isinstance(leaf, float) else leaf

    def impure(sums: Vector) -> float:  # times the mass, in the mean of outputs
        shares = sums[: outputs * classes].reshape(outputs, classes) * unit
        mass = shares[0].sum()
        shares = shares / mass
        if criterion == "gini":
            return float(mass * np.mean(1 - (shares**2).sum(axis=1)))
        logs = np.log2(np.where(shares > 0, shares, 1))
        return float(mass * np.mean(-(shares * logs).sum(axis=1)))

    gains = {}
    for cut in range(bins - 1):
        left = sums[:, : cut + 1].sum(axis=1)
        counts = [np.count_nonzero(place <= cut), np.count_nonzero(place > cut)]
        if min(counts) > 0 and min(counts) >= least:
            gains[tuple(left)] = impure(total) - impure(left) - impure(total - left)
    if splits.feature[0] < 0:
        assert not gains or all((y == y[0]).all(axis=0))
        return
    assert splits.gain[0] == pytest.approx(max(gains.values()), abs=1e-9)
    assert gains[tuple(splits.left[0].tolist())] == pytest.approx(splits.gain[0], abs=1e-9)


def test_sums_and_factors_are_those_of_numpy_and_scikit_learn() -> None:
    silo = Silo("a", X, Y, sample_weight=WEIGHT)
    LabelsByColumn([[0, 1], [0, 1, 2, 3], [0, 1, 2]]).apply(silo)
    question = OutputClassSums(len(X), 3, 4)
    sums = question.read(question.ask(silo))[0]
    weight = WEIGHT.astype(np.float32)
    expected = [[weight[Y[:, k] == place].sum(dtype=np.float64) for place in range(4)] for k in range(3)]
    np.testing.assert_allclose(
        sums / sums.sum(axis=1, keepdims=True), expected / weight.sum(dtype=np.float64), rtol=1e-12
    )
    counts = np.stack([np.bincount(own, minlength=4) for own in Y.T]).astype(float)
    product = np.prod([balanced(counts)[k][Y[:, k]] for k in range(3)], axis=0)
    np.testing.assert_allclose(product, compute_sample_weight("balanced", Y))
    assert abs(question.ask(silo)).max() <= question.bound() and len(question.ask(silo)) == question.size()


def test_silos_refuse_messages_that_make_no_sense() -> None:
    silo = Silo("a", X, Y)
    with pytest.raises(ProtocolError, match="labels of 2 columns, and y has 3"):
        LabelsByColumn([[0, 1], [0, 1]]).apply(silo)
    with pytest.raises(DataError, match=r"column 1, row .*: label 3 is none of the agreed ones"):
        LabelsByColumn([[0, 1], [0, 1, 2], [0, 1, 2]]).apply(silo)
    LabelsByColumn([[0, 1], [0, 1, 2, 3], [0, 1, 2]]).apply(silo)
    with pytest.raises(ProtocolError, match="classes of 2 outputs were asked for"):
        OutputClassSums(len(X), 2, 4).ask(silo)
    for outputs in (1, 3):
        with pytest.raises(
            ProtocolError, match=rf"classes of {outputs} outputs were asked for, and y is of \({len(X)},\)"
        ):
            OutputClassSums(len(X), outputs, 4).ask(Silo("b", X, Y[:, 0]))
    with pytest.raises(ProtocolError, match="before the cut points"):
        TreeFactors(np.ones((2, 3, 4))).apply(silo)
    with pytest.raises(ProtocolError, match="before the cut points"):
        OutputClassSums(len(X), 3, 4, trees=2).ask(silo)
