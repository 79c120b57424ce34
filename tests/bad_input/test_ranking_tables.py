"""Tables of rankings: names of queries in every form, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xgboost
from xgboost_twin import searches

from fedtrees import DataError, FedGBTRanker, FedGBTRegressor, LocalFederation, ParameterError, SchemaError, Silo

# -- errors -------------------------------------------------------------------------------------------------


def test_groups_and_whole_floats_name_queries_as_ids_do() -> None:
    table, y, qid = searches(200, 12)
    sizes, options = np.unique(qid, return_counts=True)[1], {"n_estimators": 3, "n_jobs": 1}
    model = FedGBTRanker(**options).fit(table, y, qid=qid, eval_set=[(table, y)], eval_qid=[qid], silos=qid % 3)
    grouped = FedGBTRanker(**options).fit(
        table,
        y,
        group=sizes,
        eval_set=[(table, y)],
        eval_group=[sizes],
        silos=qid % 3,
        sample_weight=np.ones(len(sizes)),
    )
    floats = FedGBTRanker(**options).fit(table, y, qid=qid.astype(float), silos=qid % 3)
    theirs = xgboost.XGBRanker(**options).fit(table, y, group=sizes)
    assert model.booster_.get_dump() == grouped.booster_.get_dump() == floats.booster_.get_dump()
    assert model.evals_result_ == grouped.evals_result_
    np.testing.assert_allclose(model.predict(table), theirs.predict(table), atol=1e-3)
    silo = Silo("a", table, y, qid=qid.astype(np.float32))
    apart = FedGBTRanker(**options).fit_federation(LocalFederation([silo]))
    assert apart.booster_.get_dump() == model.booster_.get_dump()


X, Y, Q = searches(30, 4)
HALF = np.arange(30) < 15
WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "a query in two silos": (
        lambda: FedGBTRanker(1).fit(X, Y, silos=np.where(np.arange(30) % 2, "a", "b"), qid=Q),
        DataError,
        "qid .* has rows in silo 'a' and in silo 'b'; a query lives inside one silo",
    ),
    "two columns": (
        lambda: FedGBTRanker(1).fit(X, np.stack([Y, Y], axis=1), qid=Q),
        ParameterError,
        "rank:ndcg needs y of one column, and it has 2",
    ),
    "as many ids as rows": (lambda: FedGBTRanker(1).fit(X, Y, qid=Q[1:]), DataError, r"qid has the shape \(29,\)"),
    "ids that are fractions": (lambda: FedGBTRanker(1).fit(X, Y, qid=Q + 0.5), DataError, "qid holds float64"),
    "groups of other rows": (
        lambda: FedGBTRanker(1).fit(X, Y, group=[20, 9]),
        DataError,
        "group is of 29 rows and X has 30",
    ),
    "an empty group": (
        lambda: FedGBTRanker(1).fit(X, Y, group=[30, 0]),
        DataError,
        "group: give how many rows each query",
    ),
    "half a row": (
        lambda: FedGBTRanker(1).fit(X, Y, group=[1.5, 28.5]),
        DataError,
        "group: give how many rows each query",
    ),
    "groups and ids": (
        lambda: FedGBTRanker(1).fit(X, Y, group=[30], qid=Q),
        ParameterError,
        "qid and group are both given",
    ),
    "groups and ids to score on": (
        lambda: FedGBTRanker(1).fit(X, Y, qid=Q, eval_set=[(X, Y)], eval_qid=[Q], eval_group=[[30]]),
        ParameterError,
        "eval_qid and eval_group are both given",
    ),
    "groups of other sets": (
        lambda: FedGBTRanker(1).fit(X, Y, qid=Q, eval_set=[(X, Y)], eval_group=[[29]]),
        DataError,
        "eval_group 0 is of 29",
    ),
    "a weight a row": (
        lambda: FedGBTRanker(1).fit(X, Y, qid=Q, sample_weight=np.ones(30)),
        DataError,
        r"sample_weight has the shape \(30,\); give one a query, of which there are 4",
    ),
    "ids in one silo": (
        lambda: LocalFederation([Silo("a", X[HALF], Y[HALF], qid=Q[HALF]), Silo("b", X[~HALF], Y[~HALF])]),
        SchemaError,
        "silo 'b', unlike others: qid is not given",
    ),
    "fractions": (lambda: FedGBTRanker(1).fit(X, Y + 0.5, qid=Q), DataError, "row 0: no whole number up to 31"),
    "too relevant": (lambda: FedGBTRanker(1).fit(X, Y + 40, qid=Q), DataError, "row 0: no whole number up to 31"),
    "negative": (
        lambda: FedGBTRanker(1, ndcg_exp_gain=False).fit(X, Y - 9, qid=Q),
        DataError,
        "a negative number; rank:ndcg needs a relevance of 0 or more",
    ),
    "not binary": (lambda: FedGBTRanker(1, objective="rank:map").fit(X, Y * 2, qid=Q), DataError, "neither 0 nor 1"),
    "another objective": (
        lambda: FedGBTRanker(1, objective="rank:ndgc").fit(X, Y, qid=Q),
        ParameterError,
        "did you mean 'rank:ndcg'",
    ),
    "a function": (lambda: FedGBTRanker(1, objective=print).fit(X, Y, qid=Q), ParameterError, "give a name, such as"),
    "a method": (
        lambda: FedGBTRanker(1, lambdarank_pair_method="top").fit(X, Y, qid=Q),
        ParameterError,
        "did you mean 'topk'",
    ),
    "no pairs": (
        lambda: FedGBTRanker(1, lambdarank_num_pair_per_sample=0).fit(X, Y, qid=Q),
        ParameterError,
        "lambdarank_num_pair_per_sample=0: give a whole number from 1",
    ),
    "a switch": (
        lambda: FedGBTRanker(1, ndcg_exp_gain="yes").fit(X, Y, qid=Q),
        ParameterError,
        "ndcg_exp_gain='yes': give True or False",
    ),
    "a metric": (
        lambda: FedGBTRanker(1, eval_metric="rmse").fit(X, Y, qid=Q),
        ParameterError,
        "eval_metric='rmse' says nothing of what rank:ndcg predicts",
    ),
    "no rank": (
        lambda: FedGBTRanker(1, eval_metric="ndcg@0").fit(X, Y, qid=Q),
        ParameterError,
        "what follows the @ is a number of ranks, from 1",
    ),
    "a ranking elsewhere": (
        lambda: FedGBTRegressor(1, objective="rank:ndcg").fit(X, Y),
        ParameterError,
        "objective='rank:ndcg' is not known",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_rankings_that_mean_nothing_are_refused(case: str) -> None:
    call, error, text = WRONG[case]
    with pytest.raises(error, match=text):
        call()
