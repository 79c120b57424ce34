"""Scores of a network on a silo's rows of an evaluation set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.table import Table, of_rows
from fedtrees.core.data.table_targets import numbers_of, places_of
from fedtrees.core.numeric.blas import OneBlasThread
from fedtrees.errors import ProtocolError
from fedtrees.neural.model import Floats
from fedtrees.neural.perceptron import Perceptron
from fedtrees.neural.state import NetworkState
from fedtrees.queries.metric import Rows
from fedtrees.queries.scores import Scores

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows

BLOCK = 256  # rows


class NetworkScores(Scores, frozen=True, eq=False):
    """Metrics of a network on one evaluation set.

    Parameters
    ----------
    params : float32 (n_params,)
        The network's.
    """

    params: Floats = np.zeros(0, np.float32)

    def rows_of(self, silo: SiloRows, table: Table, asked: NDArray[np.int64]) -> Rows:
        """See `Scores`."""
        state = silo.state_of(NetworkState, "scores were asked for")
        if len(self.params) != state.model.n_params:
            raise ProtocolError("scores were asked for of another model")
        objective, labels = state.model.objective, state.begin.labels
        self.check_metrics(objective)
        with OneBlasThread():
            margin = state.scaling.predictions(self._margins(state, table, asked))
        target = (numbers_of(table) if labels is None else places_of(table, labels))[asked]
        weight, margin = of_rows(table.weight, asked), np.ascontiguousarray(margin.T)
        if target.ndim == 2:  # every target of a row is a row of its own
            weight = None if weight is None else np.tile(weight, len(margin))
            margin, target = margin.reshape(1, -1), target.T.ravel()
        return Rows(objective, margin, target, weight, self.weight_exponent)

    def _margins(self, state: NetworkState, table: Table, asked: NDArray[np.int64]) -> Floats:
        model, params = state.model, self.params
        if isinstance(model, Perceptron):
            return margins_by_row(model, params, state.features(table, asked))
        # PyTorch's last bits depend on where in a batch a row stands: each silo's rows by themselves, as it has them
        apart = np.split(asked, np.searchsorted(asked, table.starts[1:-1]))
        parts = [model.margins(params, state.features(table, rows)) for rows in apart if len(rows)]
        return np.concatenate(parts) if parts else model.margins(params, state.features(table, asked))


def margins_by_row(model: Perceptron, params: Floats, X: Floats) -> Floats:
    """Compute what a perceptron predicts of rows, before any link: float32 (rows, outputs).

    Linear algebra picks its way by the shape of a matrix, and the last bits with it. So rows are taken in blocks of one
    shape, the last of which is filled up.

    Law: a row's margins are the same bits whatever rows it is given with, and so are the scores of any partition.
    """
    block, parts = np.zeros((BLOCK, *X.shape[1:]), X.dtype), []
    for start in range(0, len(X), BLOCK):
        rows = X[start : start + BLOCK]
        block[: len(rows)] = rows
        parts.append(model.margins(params, block)[: len(rows)].copy())
    return np.concatenate(parts) if parts else model.margins(params, X)
