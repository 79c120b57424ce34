"""Queries of rankings: ids given, or a column of X that has them, and never a feature; without any, no ranking."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import xgboost
from sklearn.model_selection import GroupKFold, cross_val_score

from fedtrees import DataError, FedGBTRanker, FedTreesError, LocalFederation, ParameterError, Silo

RNG = np.random.default_rng(0)
X = pd.DataFrame(np.round(RNG.normal(size=(240, 3)), 1), columns=list("abc"))
QID = np.repeat(np.arange(24), 10)
Y = np.clip(np.round(X["a"] + RNG.normal(size=240) / 2), 0, 3).astype(int).to_numpy()
SILOS = QID % 3
SMALL: dict[str, Any] = {"n_estimators": 4, "max_depth": 3, "n_jobs": 1}


def tables() -> dict[str, Any]:
    frame = X.assign(qid=QID)
    return {
        "last": frame,
        "first": frame[["qid", *"abc"]],
        "nullable": frame.convert_dtypes(),
        "categories": frame.assign(qid=pd.Categorical(QID)),
        "polars": pl.from_pandas(frame),
        "pyarrow": pl.from_pandas(frame).to_arrow(),
    }


@pytest.mark.parametrize("kind", tables())
def test_a_column_of_ids_is_the_ids_and_no_feature(kind: str) -> None:
    given = FedGBTRanker(**SMALL).fit(X, Y, qid=QID, silos=SILOS)
    frame = tables()[kind]
    model = FedGBTRanker(**SMALL).fit(frame, Y, silos=SILOS)
    assert model.booster_.save_raw() == given.booster_.save_raw()
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    for rows in (frame, X):
        assert model.predict(rows).tobytes() == given.predict(X).tobytes()
        assert model.apply(rows).tolist() == given.apply(X).tolist()
    assert model.score(frame, Y) == given.score(X, Y, qid=QID)


def test_ids_are_read_as_xgboost_reads_them() -> None:
    frame = X.assign(qid=QID)
    options = {"n_estimators": 4, "max_depth": 3}
    for params in ({}, {"eval_metric": "map@3"}, {"eval_metric": ["ndcg", "ndcg@2"]}, {"objective": "rank:pairwise"}):
        theirs = xgboost.XGBRanker(**options, **params).fit(frame, Y)
        ours = FedGBTRanker(**options, **params).fit(frame, Y)
        assert ours.booster_.feature_names == theirs.get_booster().feature_names
        np.testing.assert_allclose(ours.predict(frame), theirs.predict(frame), atol=1e-3)
        target = np.minimum(Y, 1) if "map@3" in str(params) else Y
        assert ours.score(frame, target) == pytest.approx(theirs.score(frame, target), abs=1e-5)
    for model in (ours, theirs):
        with pytest.raises(ValueError, match="qid"):
            model.fit(frame, Y, qid=QID)
        with pytest.raises(ValueError, match="qid"):
            model.fit(X, Y)


def test_an_evaluation_set_has_its_ids_in_a_column_too() -> None:
    frame = X.assign(qid=QID)
    given = FedGBTRanker(**SMALL).fit(X, Y, qid=QID, eval_set=[(X, Y)], eval_qid=[QID])
    model = FedGBTRanker(**SMALL).fit(frame, Y, eval_set=[(frame, Y)])
    assert model.evals_result() == given.evals_result()
    for held_out, ids in (((X, Y), None), ((X, Y), [None]), ((frame, Y), [QID])):
        with pytest.raises(ParameterError, match="qid"):
            FedGBTRanker(**SMALL).fit(frame, Y, eval_set=[held_out], eval_qid=ids)


def test_a_wrong_evaluation_set_is_named_by_its_place() -> None:
    frame = X.assign(qid=QID)
    apart = np.where(np.arange(240) < 5, 7, QID)  # query 7 is in two silos
    fit = FedGBTRanker(**SMALL).fit
    given: dict[str, Any] = {"silos": SILOS, "eval_silos": [SILOS, SILOS, SILOS]}
    fine, three = (frame, Y), [(X, Y)] * 3
    for place in range(3):
        sets = [fine if own != place else (X, Y) for own in range(3)]
        with pytest.raises(ParameterError, match=f"^eval_qid: eval_set {place} needs the query of each row, as X does"):
            fit(frame, Y, eval_set=sets, **given)
        ids = [apart if own == place else QID for own in range(3)]
        with pytest.raises(DataError, match=rf"^eval_set {place}: qid 7 has rows in silo '0' and in silo '1'; a"):
            fit(X, Y, qid=QID, eval_set=three, eval_qid=ids, **given)
        with pytest.raises(ParameterError, match=f"^eval_set {place}: qid: X has a column 'qid', too"):
            fit(frame, Y, eval_set=[fine] * 3, eval_qid=[QID if own == place else None for own in range(3)], **given)
        sizes = [[10] * 24 if own != place else [10] * 23 for own in range(3)]
        with pytest.raises(DataError, match=f"^eval_group {place} is of 230 rows and X has 240"):
            fit(X, Y, qid=QID, eval_set=three, eval_group=sizes, **given)
    for wrong in ([QID] * 2, [QID] * 4):
        with pytest.raises(ParameterError, match=f"^eval_qid has {len(wrong)} entries for 3"):
            fit(X, Y, qid=QID, eval_set=three, eval_qid=wrong, **given)
    with pytest.raises(ParameterError, match=r"^qid and group are both given"):
        fit(X, Y, qid=QID, group=[10] * 24)
    with pytest.raises(ParameterError, match=r"^eval_qid and eval_group are both given"):
        fit(X, Y, qid=QID, eval_set=three, eval_qid=[QID] * 3, eval_group=[[10] * 24] * 3)
    by_group = fit(X, Y, group=[10] * 24, eval_set=three[:2], eval_group=[[10] * 24] * 2).evals_result_
    assert by_group == fit(X, Y, qid=QID, eval_set=three[:2], eval_qid=[QID] * 2).evals_result_


def test_a_column_of_ids_goes_through_cross_validation() -> None:
    frame = X.assign(qid=QID)
    assert (cross_val_score(FedGBTRanker(**SMALL), frame, Y, cv=GroupKFold(3), groups=QID) > 0.5).all()


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_without_ids_nothing_is_ranked(mode: str) -> None:
    silos = [Silo(f"silo {k}", X[k == SILOS], Y[k == SILOS]) for k in range(3)]
    with pytest.raises(DataError, match=r"^silo 'silo 0': qid is not given; a ranking needs the query of each row"):
        FedGBTRanker(**SMALL).fit_federation(LocalFederation(silos, mode=mode))
    for call in (lambda: FedGBTRanker().fit(X, Y), lambda: FedGBTRanker().fit(X.to_numpy(), Y, silos=SILOS)):
        with pytest.raises(ParameterError, match=r"^qid: a ranking needs the query of each row"):
            call()


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        (np.where(np.arange(240) < 5, 7, QID), r"^qid 7 has rows in silo '0' and in silo '1'"),
        ([*QID.astype(str).tolist()[:-1], "a\0"], "qid has a NUL character in row 239"),
        ([*QID.astype(str).tolist()[:-1], "a\0b"], "qid has a NUL character in row 239"),
        (QID + 0.5, "qid holds float64; give whole numbers or texts"),
        (np.where(QID == 3, np.nan, QID), "qid holds float64"),
        (QID[:-1], r"qid has the shape \(239,\)"),
    ],
    ids=["apart", "NUL", "NUL inside", "fractions", "missing", "short"],
)
def test_ids_that_name_no_queries_are_refused(ids: Any, text: str) -> None:
    with pytest.raises(FedTreesError, match=text) as caught:
        FedGBTRanker(**SMALL).fit(X, Y, qid=ids, silos=SILOS)
    assert "np." not in str(caught.value)


def test_whole_numbers_may_come_as_floats() -> None:
    models = [FedGBTRanker(**SMALL).fit(X, Y, qid=ids) for ids in (QID, QID.astype(float), QID.astype(object))]
    assert len({bytes(model.booster_.save_raw()) for model in models}) == 1


@pytest.mark.parametrize("table", ["last", "polars", "pyarrow"])
def test_ids_are_given_in_one_place_in_a_silo_too(table: str) -> None:
    frame = tables()[table]
    with pytest.raises(ParameterError, match=r"^silo 'mayo': qid: X has a column 'qid', too; give"):
        Silo("mayo", frame, Y, qid=QID)
    with pytest.raises(ParameterError, match=r"^qid: X has a column 'qid', too; give"):
        LocalFederation.from_table(frame, Y, qid=QID)
    silo = Silo("mayo", frame, Y)  # for which it is a column like others
    with pytest.raises(DataError, match=r"'mayo': qid is not given.*Silo\(name, X.drop\(columns='qid'\), y, qid=X"):
        FedGBTRanker(**SMALL).fit_federation(LocalFederation([silo]))
    with pytest.raises(FedTreesError, match="'qid'"):
        Silo("mayo", X, Y, qid=QID, eval_set=[(frame, Y, None, None, QID)])


def test_evaluation_sets_have_ids_of_queries_where_the_rows_to_train_on_have() -> None:
    missing = r"eval_set 0: qid is not given, and that of X is; give it as the fifth entry"
    for held_out in ((X, Y), (X, Y, None, None, None), (X, Y, None, np.zeros(len(Y)))):
        with pytest.raises(DataError, match=rf"^silo 'mayo', {missing}"):
            Silo("mayo", X, Y, qid=QID, eval_set=[held_out])
        with pytest.raises(DataError, match=f"^{missing}"):
            LocalFederation.from_table(X, Y, qid=QID, eval_set=[held_out])
    full, empty = (X, Y, None, None, QID), (X[:0], Y[:0])
    silos = [Silo("mayo", X, Y, qid=QID, eval_set=[full]), Silo("ucla", X, Y, qid=QID, eval_set=[empty])]
    given = FedGBTRanker(**SMALL).fit(X, Y, qid=QID, eval_set=[(X, Y)], eval_qid=[QID])
    apart = FedGBTRanker(**SMALL).fit_federation(LocalFederation(silos[:1]))
    assert apart.evals_result_ == given.evals_result_
    assert FedGBTRanker(**SMALL).fit_federation(LocalFederation(silos)).evals_result_["validation_0"]
