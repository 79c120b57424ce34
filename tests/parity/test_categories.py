"""Splits by category over silos of other vocabularies, and Boosters that find the codes by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from strategies import Watched, model_bytes
from xgboost_twin import trees_of, with_categories

from fedtrees import (
    DataError,
    FedGBTClassifier,
    FedGBTRanker,
    FedGBTRegressor,
    LocalFederation,
    ParameterError,
    ProtocolError,
    SchemaError,
    Silo,
)
from fedtrees.core.data.categories import agreed_vocabulary, translated
from fedtrees.core.protocol.start_messages import Vocabulary
from fedtrees.export.categories import check_categories
from fedtrees.queries.categories import CategoryCounts

X, Y, WEIGHT = with_categories(600)
SILOS = np.arange(len(Y)) % 3
SMALL: dict[str, Any] = {"n_estimators": 4, "max_depth": 4, "n_jobs": 1, "enable_categorical": True}
MODEL = FedGBTRegressor(**SMALL).fit(X, Y, silos=SILOS, sample_weight=WEIGHT)


# -- vocabularies of silos ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "agreed"),
    [
        ([["b", "a"], ["b", "a"]], ["b", "a"]),
        ([["b", "a"], ["a"], []], ["b", "a"]),
        ([["lo", "hi"], ["lo", "mid", "hi"]], ["lo", "mid", "hi"]),
        ([["b", "a"], ["a", "b"]], ["a", "b"]),
        ([["b", "a"], ["c", "a"]], ["a", "b", "c"]),
        ([[3, 1], [20]], [1, 3, 20]),
        ([[], []], []),
    ],
    ids=str,
)
def test_vocabularies_are_joined_whatever_the_order_of_silos(told: list[list[Any]], agreed: list[Any]) -> None:
    silos = [(f"silo {k}", own) for k, own in enumerate(told)]
    assert agreed_vocabulary("c", silos) == agreed_vocabulary("c", silos[::-1]) == agreed
    for own in told:
        codes = np.append(np.arange(len(own)), np.nan).astype(np.float32)
        new = translated(codes, own, agreed)
        assert [agreed[int(code)] for code in new[:-1]] == own and np.isnan(new[-1])


def by_names(frame: pd.DataFrame) -> pd.DataFrame:
    """The same rows, whose columns know no categories but their own, sorted."""
    return frame.assign(
        **{name: frame[name].cat.set_categories(sorted(frame[name].dropna().unique())) for name in frame.columns[5:]}
    )


def silos_of(frame: pd.DataFrame, held_out: pd.DataFrame | None = None) -> list[Silo]:
    return [
        Silo(
            f"silo {k}", by_names(frame[own]), Y[own], sample_weight=WEIGHT[own], n_jobs=1,
            eval_set=[] if held_out is None else [(by_names(held_out[own]), Y[own])],
        )
        for k in range(3)
        for own in [k == SILOS]
    ]  # fmt: skip


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_silos_that_know_their_own_categories_only_give_the_pooled_model(mode: str) -> None:
    params = SMALL
    pooled = FedGBTRegressor(**params).fit(by_names(X), Y, sample_weight=WEIGHT)
    silos = silos_of(X)
    assert len({tuple(silo.table.schema.categories["many"]) for silo in silos}) == 3
    federation = LocalFederation(silos, mode, n_jobs=1)
    for _ in range(2):  # what one training agreed on is not what the next one begins with
        assert model_bytes(FedGBTRegressor(**params).fit_federation(federation)) == model_bytes(pooled)


def test_fused_and_faithful_are_billed_alike_and_evaluation_sets_are_recoded() -> None:
    ledgers, scores = [], []
    for mode in ("fused", "faithful"):
        federation = LocalFederation(silos_of(X, held_out=X), mode, n_jobs=1)
        model = FedGBTRegressor(**SMALL).fit_federation(federation)
        ledgers.append(model.ledger_.per_round())
        scores.append(model.evals_result_["validation_0"]["rmse"])
    pd.testing.assert_frame_equal(*ledgers)
    assert ledgers[0]["kind"].str.contains("CategoryCounts").sum() == 1
    predicted = model.predict(X)
    assert scores[0] == scores[1] and scores[0][-1] == pytest.approx(np.sqrt(np.mean((predicted - Y) ** 2)), rel=1e-6)


def test_a_silo_that_forgets_its_codes_learns_them_again() -> None:
    silos = silos_of(X, held_out=X)

    def forget(round: int) -> None:
        silos[round % 3].forget()

    forgetful = Watched(LocalFederation(silos, "faithful"), forget)
    model = FedGBTRegressor(**SMALL).fit_federation(forgetful)
    assert model_bytes(model) == model_bytes(FedGBTRegressor(**SMALL).fit(by_names(X), Y, sample_weight=WEIGHT))


def test_counts_of_categories_are_sums_over_silos() -> None:
    sizes = np.array([0, 0, 0, 0, 0, 3, 12, 150, 6])
    question = CategoryCounts(len(X), sizes)
    parts = [
        question.ask(Silo(str(k), X[k == SILOS], Y[k == SILOS], sample_weight=WEIGHT[k == SILOS] * (k > 0)))
        for k in range(3)
    ]
    counts = question.read(np.sum(parts, axis=0))
    assert not parts[0].any() and question.size() == len(parts[0])
    for name, own in zip(X.columns, counts, strict=True):
        expected = X[name][SILOS > 0].cat.codes.value_counts().drop(-1, errors="ignore") if len(own) else pd.Series()
        assert own.sum() == expected.sum() and (own[expected.index.astype(int)] == expected.to_numpy(int)).all()
    for wrong in (sizes[1:], sizes - 1, np.where(sizes == 12, 11, sizes)):
        with pytest.raises(ProtocolError, match=r"categories were asked for of|categories that were not agreed on"):
            CategoryCounts(len(X), wrong).ask(Silo("a", X, Y))


def test_a_vocabulary_that_leaves_a_silo_s_categories_out_is_refused() -> None:
    silo = Silo("mayo", X, Y)
    with pytest.raises(
        SchemaError, match=r"^silo 'mayo': column 'few': category 'few [012]' was not there in training"
    ):
        silo.learn(b"a run of 16 byte", 0, [Vocabulary(silo.table.schema.categories | {"few": ["few 1"]})])


def test_a_table_of_one_vocabulary_is_not_copied() -> None:
    federation = LocalFederation.from_table(X, Y, silos=SILOS, n_jobs=1)
    before = federation.table.X
    FedGBTRegressor(**SMALL).fit_federation(federation)
    assert federation._fused.table.X is before


# -- predicting -----------------------------------------------------------------------------------------------


def test_the_booster_finds_the_codes_in_any_frame_by_itself() -> None:
    predicted = MODEL.predict(X)
    matrix = xgboost.DMatrix(X, enable_categorical=True)
    assert MODEL.booster_.predict(matrix).tobytes() == predicted.tobytes()
    other = X.assign(
        many=X["many"].cat.reorder_categories(sorted(X["many"].cat.categories)[::-1]),
        few=X["few"].cat.remove_unused_categories().cat.set_categories(["few 2", "few 0", "few 1"]),
    )
    assert MODEL.predict(other).tobytes() == predicted.tobytes()
    assert MODEL.booster_.predict(xgboost.DMatrix(other, enable_categorical=True)).tobytes() == predicted.tobytes()
    codes = X.apply(lambda c: c.cat.codes.astype(float).where(c.notna()) if c.dtype == "category" else c).to_numpy()
    assert MODEL.predict(codes, validate_features=False).tobytes() == predicted.tobytes()
    leaves = MODEL.booster_.predict(matrix, pred_leaf=True)
    assert MODEL.apply(X).tolist() == leaves.tolist()


def test_categories_that_no_row_trained_with_and_missing_ones_go_where_xgboost_sends_them() -> None:
    """A vocabulary may hold more than rows have: up to the last of these a category has a bin, then it goes left."""
    names = ["unused", "a", "b", "c", "d", "e", "last"]
    rng = np.random.default_rng(0)
    own = rng.integers(1, 6, 400)
    y = np.array([0, 1, 5, 2, 4, 3])[own] + 0.1 * rng.normal(size=400)
    frame = pd.DataFrame({"c": pd.Categorical.from_codes(own, names), "x": rng.normal(size=400)})
    params: dict[str, Any] = {"n_estimators": 3, "max_depth": 3, "enable_categorical": True, "base_score": 0.5}
    ours = FedGBTRegressor(**params).fit(frame, y, silos=np.arange(400) % 2)
    theirs = xgboost.XGBRegressor(tree_method="hist", **params).fit(frame, y)
    asked = pd.DataFrame({"c": pd.Categorical([*names, None], names), "x": np.zeros(8)})
    np.testing.assert_allclose(ours.predict(asked), theirs.predict(asked), atol=1e-4)
    assert (
        ours.predict(asked).tobytes()
        == ours.booster_.predict(xgboost.DMatrix(asked, enable_categorical=True)).tobytes()
    )
    # what training says of such rows, when it scores them, is what the Booster says
    scored = FedGBTRegressor(**params).fit(frame, y, eval_set=[(asked, np.zeros(8))])
    last = scored.evals_result_["validation_0"]["rmse"][-1]
    assert last == pytest.approx(np.sqrt(np.mean(ours.predict(asked).astype(float) ** 2)), rel=1e-6)


@pytest.mark.parametrize("ending", ["json", "ubj"])
@pytest.mark.parametrize("whose", ["ours", "xgboost's"])
def test_files_come_back_with_their_categories(ending: str, whose: str, tmp_path: Path) -> None:
    path = tmp_path / f"model.{ending}"
    if whose == "ours":
        MODEL.save_model(path)
        expected = MODEL.predict(X)
    else:
        theirs = xgboost.XGBRegressor(n_estimators=3, enable_categorical=True).fit(X, Y)
        theirs.save_model(path)
        expected = theirs.predict(X)
    loaded = FedGBTRegressor().load_model(path)
    assert loaded.predict(by_names(X)).tobytes() == expected.tobytes()
    if whose == "ours":
        assert model_bytes(loaded) == model_bytes(MODEL)
        plain = xgboost.XGBRegressor(enable_categorical=True)
        plain.load_model(path)
        assert plain.predict(X).tobytes() == expected.tobytes()
    with pytest.raises(SchemaError, match="column 'few': category 'none' was not there in training; make it missing"):
        loaded.predict(X.assign(few=pd.Categorical(["none"] * len(X))))


def test_what_comes_with_a_model_knows_of_categories() -> None:
    booster = MODEL.booster_
    assert "many:{" in booster.get_dump()[0] + booster.get_dump()[1]
    assert len(booster.trees_to_dataframe()["Category"].dropna()) > 3
    assert MODEL.feature_importances_.sum() == pytest.approx(1)


# -- other settings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {"objective": "reg:absoluteerror"},
        {"objective": "reg:quantileerror", "quantile_alpha": 0.3},
        {"num_parallel_tree": 2, "subsample": 0.6, "colsample_bynode": 0.5, "random_state": 1},
        {"grow_policy": "lossguide", "max_leaves": 7},
    ],
    ids=str,
)
def test_other_leaves_and_samples_find_the_same_rows(params: dict[str, Any]) -> None:
    y = np.stack([Y, -Y], axis=1) if "num_parallel_tree" in params else Y
    ids = np.arange(len(Y))
    models = [FedGBTRegressor(**SMALL, **params).fit(X, y, silos=silos, row_id=ids) for silos in (None, SILOS)]
    assert model_bytes(models[0]) == model_bytes(models[1])
    assert any(tree["categories_nodes"] for tree in trees_of(models[0].booster_))
    assert models[0].score(X, y) > (0.05 if "objective" in params else 0.2)


def test_columns_of_categories_are_split_by_sets_of_them_by_default() -> None:
    default = FedGBTRegressor(3).fit(X, Y)
    assert any(tree["categories_nodes"] for tree in trees_of(default.booster_))
    assert model_bytes(default) == model_bytes(FedGBTRegressor(3, enable_categorical=True).fit(X, Y))


@pytest.mark.parametrize("estimator", [FedGBTRegressor, FedGBTClassifier, FedGBTRanker])
def test_without_enable_categorical_columns_of_categories_are_refused(estimator: Any) -> None:
    y, more = np.arange(len(X)) % 2, {"qid": SILOS} if estimator is FedGBTRanker else {}
    text = r"^column 'few' is of categories, and enable_categorical=False takes none: .*X\['few'\].cat.codes"
    with pytest.raises(ValueError, match="categor"):
        xgboost.XGBRegressor(enable_categorical=False).fit(X[["a", "few"]], y)
    with pytest.raises(DataError, match=text):
        estimator(enable_categorical=False).fit(X[["a", "few"]], y, silos=SILOS, **more)
    silo = Silo("mayo", X[["a", "few"]], y, **more)
    for mode in ("fused", "faithful"):
        with pytest.raises(DataError, match=text):
            estimator(enable_categorical=False).fit_federation(LocalFederation([silo], mode))
    with pytest.raises(DataError, match=r"^columns '\w+', '\w+'.* are of categories"):
        estimator(enable_categorical=False).fit(X, y, silos=SILOS, **more)
    codes = X[["a"]].assign(few=X["few"].cat.codes)
    assert not trees_of(estimator(1, enable_categorical=False).fit(codes, y, **more).booster_)[0]["categories_nodes"]


@pytest.mark.parametrize("mode", ["bagging", "cyclic"])
def test_silos_own_trees_take_no_categories(mode: str) -> None:
    with pytest.raises(ParameterError, match="does not go with columns of categories; mode='histogram' does"):
        FedGBTRegressor(1, mode=mode).fit(X, Y, silos=SILOS)
    FedGBTRegressor(1, mode=mode).fit(X[list("abcde")], Y, silos=SILOS)


def test_a_frame_of_numbers_is_trained_as_ever() -> None:
    models = [FedGBTRegressor(3, enable_categorical=enable).fit(X[list("abcde")], Y) for enable in (True, False)]
    assert model_bytes(models[0]) == model_bytes(models[1])


def test_a_category_that_is_always_missing_is_no_feature_to_split_by() -> None:
    frame = X.assign(few=pd.Categorical([None] * len(X)))
    model = FedGBTRegressor(**SMALL).fit(frame, Y, silos=SILOS)
    without = FedGBTRegressor(**SMALL).fit(frame.drop(columns="few"), Y, silos=SILOS)
    assert model.predict(frame).tobytes() == without.predict(frame.drop(columns="few")).tobytes()


# -- what is refused --------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Any, str]] = {
    "fractions": (
        [0.5, 1.5],
        "column 'c' has the category 0.5, which an XGBoost model cannot keep; make its categories",
    ),
    "truth": ([True, False], "column 'c' has the category False, which an XGBoost model cannot keep"),
    "texts and numbers": (["a", 1], "column 'c' has texts and numbers for categories; make them all"),
    "too many": ([f"{k}" for k in range(70_000)], "column 'c' has 70000 categories; 65533 are the most"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_categories_that_no_model_keeps_are_named(case: str) -> None:
    values, text = REFUSED[case]
    frame = pd.DataFrame({"c": pd.Series(values, dtype="category")})
    with pytest.raises(DataError, match=f"^{text}"):
        FedGBTRegressor(enable_categorical=True).fit(frame, np.arange(float(len(frame))))


def test_categories_are_kept_up_to_the_ends_of_what_a_model_holds() -> None:
    """Numbers of 63 bits and a sign, and as many as bins of 16 bits tell apart beside two others."""
    most, named = 2**63 - 1, [str(k) for k in range(65_534)]
    for fine in ([most, -most, 0], ["a", "b"], [], named[:-1]):
        check_categories({"c": fine})
    for wrong, text in (
        ([most + 1], f"has the category {most + 1}"), ([0, -most - 1], f"has the category {-most - 1}"),
        ([1, 2.0], "has the category 2.0"), ([1, "a"], "has texts and numbers"), (named, "has 65534 categories"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=f"^column 'c' {text}"):
            check_categories({"fine": [1, 2], "c": wrong})


def test_what_goes_not_with_categories_is_named() -> None:
    with pytest.raises(
        ParameterError, match=r"^monotone_constraints: 'some' is a category, which does not rise or fall"
    ):
        FedGBTRegressor(enable_categorical=True, monotone_constraints={"a": 1, "some": -1}).fit(X, Y)


def test_an_unseen_category_to_score_on_is_named_before_training() -> None:
    asked = X.assign(few=pd.Categorical(["none"] * len(X)))
    text = "column 'few': category 'none' was not there in training; make it missing"
    with pytest.raises(SchemaError, match=rf"^silo '0', eval_set 0: {text}"):
        FedGBTRegressor(**SMALL).fit(X, Y, silos=SILOS, eval_set=[(asked, Y)])
    mayo = Silo("mayo", X, Y, eval_set=[(X, Y)])
    ucla = Silo("ucla", X, Y, eval_set=[(asked, Y)])
    for mode in ("fused", "faithful"):
        with pytest.raises(SchemaError, match=rf"^silo 'ucla', eval_set 0: {text}"):
            FedGBTRegressor(**SMALL).fit_federation(LocalFederation([mayo, ucla], mode))


def test_an_unseen_category_is_named_by_the_silo_whose_row_holds_it() -> None:
    for row in range(12):
        values = np.array(["a", "b"] * 6, object)
        values[row] = "new"
        asked, silos = pd.DataFrame({"few": pd.Categorical(values)}), np.array(["x", "y", "z"] * 4)
        train = pd.DataFrame({"few": pd.Categorical(["a", "b"] * 6)})
        with pytest.raises(SchemaError, match=rf"^silo '{silos[row]}', eval_set 0: column 'few': category 'new'"):
            FedGBTRegressor(**SMALL).fit(
                train, np.arange(12), silos=silos, eval_set=[(asked, np.arange(12))], eval_silos=[silos]
            )


@pytest.mark.parametrize("code", [0.5, -1.0, 3.0])
def test_numbers_that_are_no_codes_are_named(code: float) -> None:
    row = np.zeros((2, X.shape[1]))
    row[1, 5] = code
    text = rf"^column 'few' holds {code:g} in row 1, which is the code of no category; give a DataFrame, or whole"
    with pytest.raises(DataError, match=text):
        MODEL.predict(row)
