"""The ranker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from fedtrees.core.arguments import EvalSet, Features, by_name
from fedtrees.core.data.frames import as_pandas, is_frame
from fedtrees.core.data.labels import ClassLabels
from fedtrees.core.data.ranking_groups import ids_of_groups, side_by_side
from fedtrees.core.data.row_ids import read_row_ids
from fedtrees.core.data.target import plain_array
from fedtrees.errors import ParameterError
from fedtrees.estimators.boosting.base import FedGBT
from fedtrees.estimators.boosting.staged import staged
from fedtrees.estimators.boosting.xgboost_bases import XGBRanker
from fedtrees.estimators.common.columns import per_set
from fedtrees.estimators.common.parameter_checks import metric_names
from fedtrees.queries.metric import Rows
from fedtrees.queries.metrics import metric_named
from fedtrees.trees.losses import Loss, loss_named

if TYPE_CHECKING:
    from sklearn.utils import Tags

    from fedtrees.estimators.common.parameter_types import ModelToContinue


class FedGBTRanker(FedGBT, XGBRanker):
    """A ranker of gradient-boosted trees, trained over silos that send only integer histograms.

    LambdaMART, Burges (2010), as XGBoost has it: ``rank:ndcg``, ``rank:pairwise`` or ``rank:map``. Rows are compared
    with the others of their group, the rows of one ``qid``, which one silo holds: pairs never leave it.

    Law: the model is the same bytes whichever silo holds a group. Rows of equal scores are ranked in the order in which
    they stand, as in XGBoost.

    Parameters
    ----------
    objective : {"rank:ndcg", "rank:pairwise", "rank:map"}, optional
        None is ``rank:ndcg``. Relevances are whole numbers from 0 to 31, or 0 and 1 for ``rank:map``.
    lambdarank_pair_method : {"topk", "mean"}, optional
        Whether the rows that are ranked highest are compared with all below them, or each row with some drawn by lot,
        by the group's id and ``random_state`` alone; None is "topk".
    lambdarank_num_pair_per_sample : int, optional
        The number of rows from the top, or of draws for each row; None is 32, or 1.
    lambdarank_normalization : bool, optional
        Whether groups of many pairs count no more for it; None is True.
    lambdarank_score_normalization : bool, optional
        Whether pairs count less that are far apart already; None is True.
    lambdarank_unbiased : bool, optional
        Whether relevances are clicks, which come oftener to rows that were shown higher up, and each group's rows stand
        in the order in which they were shown: pairs are then weighed by the estimated effect of positions, as in
        XGBoost, from costs that are summed over all silos. None is False.
    lambdarank_bias_norm : float, optional
        The smoothing of these estimates; None is 1.
    ndcg_exp_gain : bool, optional
        Whether a relevance of r is worth ``2**r - 1``, or r; None is True.

    For the others and for attributes see `FedGBTClassifier`; metrics are ``ndcg``, ``map`` and ``pre``, also of so many
    ranks, such as ``ndcg@10``, and ``auc`` and ``aucpr``, means over groups.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X, group = rng.normal(size=(300, 2)), np.arange(300) // 10
    >>> relevance = (X[:, 0] > 0.5).astype(int) + (X[:, 0] > 1.5)
    >>> model = FedGBTRanker(n_estimators=5, max_depth=3).fit(X, relevance, qid=group, silos=group % 3)
    >>> model.score(X, relevance, qid=group) > 0.95
    True
    """

    _classifies = False
    _loads = ("rank:",)
    _takes_functions = False

    def _loss(self, labels: ClassLabels | None) -> Loss:
        objective = self._objective_named("rank:ndcg")
        return loss_named(objective, self._loss_params(objective), self._classifies)

    @by_name
    def fit(
        self,
        X: Features,
        y: ArrayLike,
        *,
        silos: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        qid: ArrayLike | None = None,
        group: ArrayLike | None = None,
        base_margin: ArrayLike | None = None,
        eval_set: Sequence[EvalSet] | None = None,
        eval_qid: Sequence[ArrayLike | None] | None = None,
        eval_group: Sequence[ArrayLike | None] | None = None,
        eval_silos: Sequence[ArrayLike | None] | None = None,
        sample_weight_eval_set: Sequence[ArrayLike | None] | None = None,
        base_margin_eval_set: Sequence[ArrayLike | None] | None = None,
        xgb_model: ModelToContinue = None,
        row_id: ArrayLike | None = None,
        verbose: int | None = None,
    ) -> Self:
        """Train over the silos of one table, in this process.

        Parameters
        ----------
        X : DataFrame, sparse matrix or array-like (rows, features)
        y : array-like (rows,)
            Relevances.
        silos : array-like (rows,), optional
            The silo of each row; all rows of a group are one silo's.
        sample_weight : array-like (groups,), optional
            One for each group, in the order in which they appear.
        qid : array-like (rows,), optional
            Whole numbers or texts that name each row's group, in any order; or X is a table of which they are the
            column ``"qid"``, as XGBoost has it.
        group : array-like (groups,), optional
            In place of ``qid``: the number of rows of each group, whose rows stand side by side.
        eval_qid, eval_group : sequence of array-like, optional
            Those of the rows of each evaluation set.
        base_margin, eval_set, eval_silos, sample_weight_eval_set, base_margin_eval_set, xgb_model, row_id, verbose
            See `FedGBTClassifier.fit`.

        Returns
        -------
        self

        Raises
        ------
        DataError
            Naming silo, column or group, before any training.
        ParameterError
            Naming the parameter, before anything is read.
        """
        if group is not None:
            if qid is not None:
                raise ParameterError("qid and group are both given; give one of them.")
            qid = ids_of_groups(group, len(plain_array(y, "y")))
        if eval_group is not None:
            if eval_qid is not None:
                raise ParameterError("eval_qid and eval_group are both given; give one of them.")
            sets = per_set("eval_group", eval_group, len(eval_set or ()))
            eval_qid = [
                None if sizes is None else ids_of_groups(sizes, len(plain_array(given[1], "y")), f"eval_group {place}")
                for place, (sizes, given) in enumerate(zip(sets, eval_set or (), strict=True))
            ]
        more = {
            "sample_weight_eval_set": sample_weight_eval_set, "base_margin_eval_set": base_margin_eval_set,
            "eval_qid": eval_qid,
        }  # fmt: skip
        X, qid = with_ids_apart(X, qid)
        if qid is None:
            raise ParameterError(
                "qid: a ranking needs the query of each row; give qid, or an X that has them as its column 'qid'."
            )
        held_out = list(eval_set or ())
        ids = per_set("eval_qid", eval_qid, len(held_out))
        for place, given in enumerate(held_out):
            if isinstance(given, tuple | list) and len(given) == 2:
                table, ids[place] = with_ids_apart(given[0], ids[place], f"eval_set {place}: ")
                held_out[place] = (table, given[1])
                if ids[place] is None:
                    raise ParameterError(f"eval_qid: eval_set {place} needs the query of each row, as X does.")
        more["eval_qid"] = ids
        options = {"eval_silos": eval_silos, "base_margin": base_margin, "row_id": row_id, "qid": qid}
        return self._fit_table(X, y, silos, sample_weight, held_out, more, xgb_model, verbose, options)

    def _read(self, X: Features, validate_features: bool = True) -> NDArray[np.float32]:
        return super()._read(with_ids_apart(X, None)[0], validate_features)

    def predict(
        self,
        X: Features,
        *,
        output_margin: bool = False,
        base_margin: ArrayLike | None = None,
        iteration_range: tuple[int, int] | None = None,
        validate_features: bool = True,
        silos: ArrayLike | None = None,
    ) -> NDArray[np.floating]:
        """The score of each row, float32 (rows,): more is higher up in its group.

        A column ``"qid"`` of X is passed over. See `FedGBTClassifier.predict` for the parameters.
        """
        return self._predict(X, base_margin, iteration_range, validate_features, output_margin, silos)

    def staged_predict(self, X: Features, *, silos: ArrayLike | None = None) -> Iterator[NDArray[np.floating]]:
        """The score of each row after each round."""
        check_is_fitted(self, "booster_")
        yield from staged(self, X, silos=silos)

    def score(
        self, X: Features, y: ArrayLike, *, qid: ArrayLike | None = None, silos: ArrayLike | None = None
    ) -> float:
        """The last ``eval_metric``, or what XGBoost reports for the objective, by default NDCG of the first 32 ranks.

        Parameters
        ----------
        X : DataFrame, sparse matrix or array-like (rows, features)
        y : array-like (rows,)
            Relevances.
        qid : array-like (rows,), optional
            The group of each row; or X has a column ``"qid"``. Without, all rows are one group.
        silos : str or array-like (rows,), optional
            See `FedGBTClassifier.predict`.
        """
        X, qid = with_ids_apart(X, qid)
        relevance = plain_array(y, "y").astype(np.float32)
        groups = read_row_ids(np.zeros(len(relevance), int) if qid is None else qid, len(relevance), what="qid")
        assert groups is not None
        order, starts = side_by_side(groups)
        margin = np.asarray(self.predict(X, silos=silos), np.float32)[order]
        loss = self._loss(None)
        metric = metric_named((metric_names(self.eval_metric) or [loss.metric()])[-1], loss.name)
        params = {"ndcg_exp_gain": self.ndcg_exp_gain is not False}
        return metric.read(metric.ask(Rows(loss.name, margin[None], relevance[order], None, 0, params, starts)))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.estimator_type = "ranker"
        return tags


def with_ids_apart(X: Features, qid: ArrayLike | None, where: str = "") -> tuple[Features, ArrayLike | None]:
    """A table without its column ``"qid"``, and the ids in that; as XGBoost has it.

    Raises
    ------
    ParameterError
        If ids are given besides.

    Examples
    --------
    >>> import pandas as pd
    >>> X, qid = with_ids_apart(pd.DataFrame({"qid": [1, 1], "age": [3.0, 5.0]}), None)
    >>> list(X), qid.tolist()
    (['age'], [1, 1])
    """
    if not is_frame(X):
        return X, qid
    frame = as_pandas(X, where)
    if "qid" not in frame.columns:
        return X, qid
    if qid is not None:
        raise ParameterError(f"{where}qid: X has a column 'qid', too; give the ids in one place.")
    return frame.drop(columns="qid"), frame["qid"].to_numpy()
