"""Trees that may ask which silo a row is of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from strategies import JIT, examples

from fedtrees import (
    DataError,
    FedGBTClassifier,
    FedGBTRanker,
    FedGBTRegressor,
    LocalFederation,
    MoreTrees,
    ParameterError,
    Silo,
)
from fedtrees.core.data.silo_column import codes_of_silos, with_silo_column
from fedtrees.errors import SchemaError

SIZES = {"mayo": 220, "ucla": 130, "charité": 90, "oslo": 7}


def rows(seed: int = 0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """What a column means is turned around in two of the silos."""
    rng = np.random.default_rng(seed)
    silos = rng.permutation(np.repeat(list(SIZES), list(SIZES.values())))
    X = pd.DataFrame(rng.normal(size=(len(silos), 3)).astype(np.float32), columns=["age", "dose", "x"])
    X.loc[rng.random(len(X)) < 0.1, "dose"] = np.nan
    turned = np.isin(silos, ["ucla", "oslo"])
    y = X["age"].to_numpy() * np.where(turned, -2, 2) + X["dose"].fillna(0).to_numpy() + rng.normal(size=len(X)) / 4
    return X, y, silos


def with_column(X: pd.DataFrame, silos: Any) -> pd.DataFrame:
    return X.assign(silo=pd.Categorical(silos, categories=sorted(SIZES)))


def trees(model: Any) -> list[str]:
    return model.booster_.get_dump(with_stats=True, dump_format="json")


@examples(20 if JIT else 4)
@given(
    max_cat_to_onehot=st.sampled_from([1, 4, 10]), mode=st.sampled_from(["fused", "faithful"]),
    n_jobs=st.integers(1, 2), classifies=st.booleans(), seed=st.integers(0, 5),
)  # fmt: skip
def test_trees_are_those_of_a_table_with_the_silos_as_a_category(
    max_cat_to_onehot: int, mode: str, n_jobs: int, classifies: bool, seed: int
) -> None:
    X, y, silos = rows(seed)
    kind, target = (FedGBTClassifier, y > 0) if classifies else (FedGBTRegressor, y)
    how: dict[str, Any] = {"n_estimators": 3, "max_depth": 4, "max_cat_to_onehot": max_cat_to_onehot, "n_jobs": n_jobs}
    pooled = kind(**how, enable_categorical=True).fit(with_column(X, silos), target)
    parts = [
        Silo(name, X[silos == name], target[silos == name])
        for name in np.random.default_rng(seed).permutation(list(SIZES))
    ]
    own = kind(**how, split_on_silo=True).fit_federation(LocalFederation(parts, mode=mode))
    assert trees(own) == trees(pooled)
    assert any("silo" in tree for tree in trees(own))
    assert own.predict(X, silos=silos).tolist() == pooled.predict(with_column(X, silos)).tolist()
    assert own.score(X, target, silos=silos) > own.score(X, target)


def test_a_silo_that_forgets_knows_its_column_again() -> None:
    X, y, silos = rows()
    parts = [Silo(name, X[silos == name], y[silos == name]) for name in SIZES]
    federation = LocalFederation(parts, mode="faithful")
    expected = trees(FedGBTRegressor(4, split_on_silo=True).fit_federation(federation))

    class Restarts(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            parts[epoch].forget()
            return False

    again = FedGBTRegressor(4, split_on_silo=True, callbacks=[Restarts()])
    assert trees(again.fit_federation(federation)) == expected


def test_held_out_rows_have_the_column_too() -> None:
    X, y, silos = rows()
    test, _, whose = rows(1)
    model = FedGBTRegressor(8, split_on_silo=True, max_depth=4, eval_metric="rmse")
    truth = rows(1)[1]
    model.fit(X, y, silos=silos, eval_set=[(test, truth)], eval_silos=[whose])
    rmse = np.sqrt(np.mean((model.predict(test, silos=whose) - truth) ** 2))
    assert model.evals_result()["validation_0"]["rmse"][-1] == pytest.approx(rmse, rel=1e-5)
    drawn = {
        split: FedGBTRegressor(8, split_on_silo=split, validation_fraction=0.3, early_stopping_rounds=2, max_depth=4)
        for split in (False, True)
    }
    scores = {split: model.fit(X, y, silos=silos).best_score for split, model in drawn.items()}
    assert scores[True] < 0.8 * scores[False]


@pytest.mark.parametrize("kind", [FedGBTClassifier, FedGBTRegressor, FedGBTRanker])
def test_whatever_predicts_takes_silos(kind: Any) -> None:
    """By plain XGBoost's predictions of the table that has them as a column, after each round."""
    X, y, silos = rows()
    target = {FedGBTClassifier: y > 0, FedGBTRegressor: y, FedGBTRanker: np.clip(np.round(y + 2), 0, 4)}[kind]
    qid = np.unique(silos, return_inverse=True)[1]
    model = kind(4, split_on_silo=True, n_jobs=1)
    ranks = {"qid": qid} if kind is FedGBTRanker else {}
    model.fit(X, target, silos=silos, **ranks)
    assert any("silo" in tree for tree in trees(model))
    table = xgboost.DMatrix(with_column(X, silos), enable_categorical=True)
    plain = [model.booster_.predict(table, iteration_range=(0, end)) for end in (1, 2, 3, 4)]
    whole = list(model.staged_predict(X, silos=silos))
    if kind is FedGBTClassifier:
        shares = [own[:, 1] for own in model.staged_predict_proba(X, silos=silos)]
        np.testing.assert_array_equal(shares, plain)
        np.testing.assert_array_equal(whole, np.array(plain) > 0.5)
        np.testing.assert_array_equal(model.predict_proba(X, silos=silos)[:, 1], plain[-1])
        margins = [model.booster_.predict(table, iteration_range=(0, end), output_margin=True) for end in (1, 2, 3, 4)]
        np.testing.assert_array_equal(list(model.staged_decision_function(X, silos=silos)), margins)
    else:
        np.testing.assert_array_equal(whole, plain)
    np.testing.assert_array_equal(model.predict(X, silos=silos), whole[-1])
    assert model.score(X, target, silos=silos, **ranks) != model.score(X, target, **ranks)


def test_plain_xgboost_predicts_the_same_from_the_file(tmp_path: Path) -> None:
    X, y, silos = rows()
    model = FedGBTRegressor(5, split_on_silo=True).fit(X, y, silos=silos)
    model.save_model(tmp_path / "model.json")
    plain = xgboost.Booster(model_file=str(tmp_path / "model.json"))
    expected = plain.predict(xgboost.DMatrix(with_column(X, silos), enable_categorical=True))
    assert model.predict(X, silos=silos).tolist() == expected.tolist()
    again = FedGBTRegressor().load_model(tmp_path / "model.json")
    assert again.predict(X, silos=silos).tolist() == expected.tolist()
    assert again.n_features_in_ == model.n_features_in_ == 3
    assert again.feature_names_in_.tolist() == ["age", "dose", "x"]
    assert len(model.feature_importances_) == 3
    assert model.feature_importances_.sum() < 0.9


def test_arrays_have_silos_too() -> None:
    X, y, silos = rows()
    model = FedGBTRegressor(5, split_on_silo=True).fit(X.to_numpy(), y, silos=silos)
    named = FedGBTRegressor(5, split_on_silo=True).fit(X, y, silos=silos)
    assert model.predict(X.to_numpy(), silos=silos).tolist() == named.predict(X, silos=silos).tolist()
    assert model.feature_importances_.tolist() == named.feature_importances_.tolist()
    assert model.apply(X.to_numpy(), silos=silos).tolist() == named.apply(X, silos=silos).tolist()


def test_categories_of_the_table_are_split_beside_silos() -> None:
    X, y, silos = rows()
    X["ward"] = pd.Categorical(np.random.default_rng(3).choice(list("abc"), len(X)))
    model = FedGBTRegressor(5, split_on_silo=True).fit(X, y, silos=silos)
    assert model.booster_.feature_types == ["float"] * 3 + ["c", "c"]
    assert np.isfinite(model.predict(X, silos=silos)).all()


def test_silos_are_routed_to_scores_where_that_is_asked_for() -> None:
    X, y, silos = rows()
    with sklearn.config_context(enable_metadata_routing=True):
        model = FedGBTRegressor(6, split_on_silo=True).set_fit_request(silos=True)
        apart = cross_val_score(clone(model).set_score_request(silos=True), X, y, params={"silos": silos}, cv=3)
        unknown = cross_val_score(model, X, y, params={"silos": silos}, cv=3)
    assert apart.min() > unknown.max()


def test_names_that_plain_xgboost_cannot_tell_apart_are_warned_of() -> None:
    X, y, silos = rows()
    odd = np.array(["ü1", "ü2", "ü3", "ü4"])[np.unique(silos, return_inverse=True)[1]]
    model = FedGBTRegressor(4, split_on_silo=True)
    with pytest.warns(UserWarning, match="column 'silo': of its categories beyond ASCII"):
        model.fit(X, y, silos=odd)
    assert (
        model.predict(X, silos=odd).tolist()
        == FedGBTRegressor(4, split_on_silo=True).fit(X, y, silos=silos).predict(X, silos=silos).tolist()
    )


def test_one_number_is_the_silo_of_all_rows() -> None:
    X, y, silos = rows()
    numbers = np.unique(silos, return_inverse=True)[1]
    model = FedGBTRegressor(5, split_on_silo=True).fit(X, y, silos=numbers)
    assert model.predict(X, silos=2).tolist() == model.predict(X, silos=np.full(len(y), 2)).tolist()
    assert model.predict(X, silos=np.nan).tolist() == model.predict(X).tolist() != model.predict(X, silos=2).tolist()


def test_a_personal_copy_takes_all_rows_for_its_silos(tmp_path: Path) -> None:
    X, y, silos = rows()
    model = FedGBTRegressor(5, split_on_silo=True).fit(X, y, silos=silos)
    own = model.personalize(Silo("ucla", X[:1], y[:1]))
    assert own.predict(X).tolist() == model.predict(X, silos="ucla").tolist()
    assert own.predict(X).tolist() != model.predict(X).tolist()
    assert own.predict(X, silos=silos).tolist() == model.predict(X, silos=silos).tolist()
    own.save_model(tmp_path / "own.ubj")
    assert FedGBTRegressor().load_model(tmp_path / "own.ubj").predict(X).tolist() == own.predict(X).tolist()
    assert own.fit(X, y, silos=silos).predict(X).tolist() == model.predict(X).tolist()


def test_rows_of_no_known_silo_go_the_default_way() -> None:
    X, y, silos = rows()
    model = FedGBTRegressor(5, split_on_silo=True).fit(X, y, silos=silos)
    unknown = model.predict(X)
    assert model.predict(X, silos=[None] * len(X)).tolist() == unknown.tolist()
    some = np.where(silos == "oslo", None, silos)
    assert model.predict(X, silos=some)[silos == "oslo"].tolist() == unknown[silos == "oslo"].tolist()
    assert (
        model.predict(X, silos=some)[silos != "oslo"].tolist()
        == model.predict(X, silos=silos)[silos != "oslo"].tolist()
    )


def test_the_column_follows_the_rows_wherever_they_lie() -> None:
    X, y, silos = rows()
    weight = np.ones(len(X))
    weight[::3] = 0  # which are left out of the table's order
    table = LocalFederation.from_table(X, y, silos=silos, sample_weight=weight).table
    column = with_silo_column(table, sorted(SIZES)).X[table.order, -1]
    expected = np.array([sorted(SIZES).index(own) for own in silos], np.float32)[table.order]
    assert column.tolist() == expected.tolist()
    assert np.isnan(with_silo_column(table, sorted(SIZES)).X[::3, -1]).all()  # these are no silo's
    assert np.isnan(with_silo_column(table, ["elsewhere"]).X[:, -1]).all()


def test_codes() -> None:
    assert codes_of_silos("b", ["a", "b"], 2).tolist() == [1, 1]
    assert codes_of_silos([2, 10], ["10", "2"], 2).tolist() == [1, 0]
    assert np.isnan(codes_of_silos([None, float("nan")], ["a"], 2)).all()
    assert codes_of_silos(pd.Series([1, None, 2]), ["1", "2"], 3).tolist()[::2] == [0, 1]
    assert codes_of_silos([1.0, 2.5], ["1.0", "2.5"], 2).tolist() == [0, 1]
    some = codes_of_silos(pd.Series(["a", None], dtype="string"), ["a"], 2)
    assert some[0] == 0 and np.isnan(some[1])
    days = pd.Series(pd.to_datetime(["2020-01-01", "2021-02-03"]))
    federation = LocalFederation.from_table(np.zeros((2, 1)), [0, 1], silos=days)
    assert codes_of_silos(days, federation.names, 2).tolist() == [0, 1]


X, Y, SILOS = rows()
MODEL = FedGBTRegressor(2, split_on_silo=True)
WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "no switch": (
        lambda: FedGBTRegressor(split_on_silo="yes").fit(X, Y, silos=SILOS),
        ParameterError,
        "split_on_silo='yes': give True or False",
    ),
    "a column of that name": (
        lambda: MODEL.fit(X.assign(silo=1), Y, silos=SILOS),
        DataError,
        "X has a column 'silo' of its own; rename it",
    ),
    "a model to go on from": (
        lambda: MODEL.fit(X, Y, silos=SILOS, xgb_model=FedGBTRegressor(1).fit(X, Y)),
        DataError,
        "features, and X has",
    ),
    "another mode": (
        lambda: FedGBTRegressor(split_on_silo=True, mode="bagging").fit(X, Y, silos=SILOS),
        ParameterError,
        "mode='bagging' does not go with split_on_silo",
    ),
    "an unknown silo": (
        lambda: MODEL.predict(X, silos="uppsala"),
        DataError,
        "silos: 'uppsala' was not there in training ('charité', 'mayo', 'oslo', 'ucla'); give None of such rows",
    ),
    "a column of ids": (
        lambda: MODEL.predict(X, silos=SILOS[:, None]), DataError, "silos has the shape (447, 1); give one id a row",
    ),
    "one number": (lambda: MODEL.predict(X, silos=3), DataError, "silos: '3' was not there in training"),
    "held-out rows of nobody": (
        lambda: MODEL.fit(X, Y, silos=SILOS, eval_set=[(X, Y)]),
        ParameterError,
        "eval_silos: trees with split_on_silo ask whose the rows of eval_set are; say it",
    ),
    "too few ids": (lambda: MODEL.predict(X, silos=SILOS[:5]), DataError, "silos: 5 ids for 447 rows"),
    "silos of a model that tells none apart": (
        lambda: FedGBTRegressor(2).fit(X, Y, silos=SILOS).predict(X, silos=SILOS),
        ParameterError,
        "the model was trained without split_on_silo",
    ),
    "a personal copy of a stranger": (
        lambda: MODEL.personalize(Silo("uppsala", X, Y)),
        DataError,
        "'uppsala' was not there in training",
    ),
    "a personal copy of other columns": (
        lambda: MODEL.personalize(Silo("mayo", X[["age"]], Y)),
        SchemaError,
        "column 'dose' is missing",
    ),
    "more trees of a personal copy": (
        lambda: MODEL.personalize(Silo("mayo", X, Y), MoreTrees(2)),
        ParameterError,
        "a model with split_on_silo has the silo's own branches; leave it out",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(WRONG))
def test_what_is_wrong_is_said(case: str) -> None:
    call, kind, message = WRONG[case]
    MODEL.fit(X, Y, silos=SILOS)
    with pytest.raises(kind) as caught:
        call()
    assert message in str(caught.value)


@pytest.mark.parametrize("n", [1, 4, 5, 6, 7])
def test_five_of_the_silos_that_were_there_are_named(n: int) -> None:
    there = [f"silo {k}" for k in range(n)]
    named = ", ".join(map(repr, there[:5])) + (", ..." if n > 5 else "")
    with pytest.raises(DataError) as caught:
        codes_of_silos(["mars", None, "silo 0", "jupiter"], there, 4)
    assert str(caught.value) == f"silos: 'jupiter' was not there in training ({named}); give None of such rows."
    assert codes_of_silos([None, "silo 0", there[-1]], there, 3).tolist()[1:] == [0, n - 1]
