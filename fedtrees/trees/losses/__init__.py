"""Losses: a row's gradient and hessian, by XGBoost's names."""

from __future__ import annotations

from dataclasses import fields

from fedtrees.core.data.labels import ClassLabels
from fedtrees.core.numeric.fixed_point import exponent_of
from fedtrees.errors import ParameterError, ProtocolError, unknown_value
from fedtrees.trees.losses.base import Bounds, Loss, Moves, Params, RowStatistics, column_of, gradients
from fedtrees.trees.losses.classes import Hinge, Logistic, LogitRaw, Share, Softmax, Softprob
from fedtrees.trees.losses.custom import custom_named, register_objective
from fedtrees.trees.losses.labels import HingeLabels, Labels, RawLabels
from fedtrees.trees.losses.numbers import PseudoHuber, SquaredError, SquaredLogError
from fedtrees.trees.losses.outputs import OutputClasses, WeighedOutputs
from fedtrees.trees.losses.powers import Gamma, PoissonLoss, Tweedie
from fedtrees.trees.losses.quantiles import AbsoluteError, QuantileError
from fedtrees.trees.losses.ranking import RankingLoss, RankMap, RankNdcg, RankPairwise
from fedtrees.trees.losses.survival import AcceleratedFailureTime, ProportionalHazards
from fedtrees.trees.losses.tables import (
    AdaBoostR2,
    ClassWeights,
    NumberTarget,
    Reweighed,
    Samme,
    Squares,
    Target,
    Totals,
)
from fedtrees.trees.model.gradient_scale import GradientScale

_KINDS: tuple[type[Loss], ...] = (
    Logistic, LogitRaw, Hinge, Softprob, Softmax, SquaredError, SquaredLogError, Share, PseudoHuber, PoissonLoss, Gamma,
    Tweedie, AbsoluteError, QuantileError, AcceleratedFailureTime, RankNdcg, RankPairwise,
    RankMap, ProportionalHazards,
)  # fmt: skip
LOSSES: dict[str, type[Loss]] = {kind.name: kind for kind in _KINDS}
# losses of two classes where y has several columns, by their objectives
BY_COLUMN: dict[str, type[Loss]] = {kind.name: kind for kind in (Labels, RawLabels, HingeLabels)}
# row statistics of trees that grow by impurity; no objectives of XGBoost's
_TABLES: tuple[type[Target], ...] = (
    ClassWeights, OutputClasses, WeighedOutputs, Squares, Totals, Samme, AdaBoostR2,
)  # fmt: skip
TABLES: dict[str, type[Target]] = {kind.name: kind for kind in _TABLES}


def loss_named(name: str, params: Params | None = None, classification: bool = False, by_column: bool = False) -> Loss:
    """Return the loss of an XGBoost objective's name.

    Parameters
    ----------
    name : str
    params : dict of str to float, list of float or str, optional
        The objective's parameters; XGBoost's defaults stand for others.
    classification : bool, default False
        Whether a function registered under this name for classes is meant, or for numbers; see `register_objective`.
    by_column : bool, default False
        Whether an objective of two classes is meant for each of several columns of y.

    Raises
    ------
    ParameterError
        If there is no such objective (it names the nearest), or a parameter is none of its parameters or out of range.
    """
    if name not in LOSSES:
        custom = custom_named(name, classification)
        if custom is not None:
            return custom
        raise unknown_value("objective", name, LOSSES)
    kind, given = (BY_COLUMN if by_column else LOSSES).get(name, LOSSES[name]), dict(params or {})
    parameters = [field.name for field in fields(kind)]
    for parameter in given:
        if parameter not in parameters:
            raise ParameterError(f"{parameter} is no parameter of {name}.")
    return kind(**given)


def loss_of(objective: str, params: Params, labels: ClassLabels | None) -> RowStatistics:
    """Return the loss that a message names.

    Raises
    ------
    ProtocolError
        If there is no such loss in this process.
    """
    if objective in TABLES and {field.name for field in fields(TABLES[objective])} == set(params):
        return TABLES[objective](**params)
    try:
        return loss_named(objective, params, classification=labels is not None, by_column=labels is None)
    except ParameterError as error:
        raise ProtocolError(f"boosting was to begin with a loss that is not known here: {error}") from error


def gradient_scale_of(bound: tuple[float, float], weight_exponent: int) -> GradientScale:
    """Return the gradient scale of bounded gradients and hessians, of rows of weight up to ``2 ** weight_exponent``."""
    return GradientScale(exponent_of(bound[0]) + weight_exponent, exponent_of(bound[1]) + weight_exponent)


__all__ = [
    "BY_COLUMN",
    "LOSSES",
    "TABLES",
    "Bounds",
    "Loss",
    "Moves",
    "NumberTarget",
    "Params", "ProportionalHazards",
    "RankingLoss",
    "Reweighed",
    "RowStatistics",
    "Target",
    "column_of",
    "gradient_scale_of",
    "gradients",
    "loss_named",
    "loss_of",
    "register_objective",
]  # fmt: skip
