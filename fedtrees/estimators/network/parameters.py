"""Parameters of `FedAvgClassifier` and `FedAvgRegressor`: checks, and the settings of a training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fedtrees.core.data.table import Schema
from fedtrees.core.numeric.number_checks import is_number, is_whole
from fedtrees.errors import DataTypeError, ParameterError, unknown_value
from fedtrees.estimators.common.class_objective import TWO, objective_of_classes
from fedtrees.estimators.common.class_weights import check_class_weight, class_weights
from fedtrees.estimators.common.parameter_checks import check_federated, check_ranges, metric_names, seed_of
from fedtrees.estimators.common.settings import common_settings
from fedtrees.neural.activations import ACTIVATIONS
from fedtrees.neural.compression import AnyCompression, Exact, Rounded, TopK
from fedtrees.neural.local import Work
from fedtrees.neural.methods import AnyMethod, FedAvg, FedNova, FedPer, FedProx, FedSGD, QFedAvg, Scaffold
from fedtrees.neural.model import AnyModel
from fedtrees.neural.optimisers import Averaging, FedAdagrad, FedAdam, FedYogi, Momentum, ServerOptimiser
from fedtrees.neural.perceptron import Perceptron
from fedtrees.neural.schedules import Checked, Constant, Cosine, Exponential, Inverse, Schedule
from fedtrees.neural.settings import NetworkSettings
from fedtrees.queries.metrics import metric_named, metric_of

if TYPE_CHECKING:
    from fedtrees.estimators.network.parameter_types import NetworkParameters

T = TypeVar("T")

_RANGES: dict[str, tuple[bool, float, float, bool]] = {
    "n_rounds": (True, 1, math.inf, True),
    "local_epochs": (True, 1, math.inf, True),
    "learning_rate": (False, 0, 1e6, False),
    "alpha": (False, 0, 1e6, True),
    "stragglers": (False, 0, 1, True),
    "verbose": (True, 0, math.inf, True),
}
METHODS: dict[str, Callable[[], AnyMethod]] = {
    "fedavg": FedAvg, "fedprox": FedProx, "scaffold": Scaffold, "fednova": FedNova, "qfedavg": QFedAvg,
    "fedper": FedPer,
}  # fmt: skip
OPTIMISERS: dict[str, Callable[[], ServerOptimiser]] = {
    "fedavg": Averaging, "fedavgm": Momentum, "fedadagrad": FedAdagrad, "fedadam": FedAdam, "fedyogi": FedYogi,
}  # fmt: skip
SCHEDULES = ("constant", "exponential", "inverse", "cosine")
UPLOADS = ("weights", "gradients")
LOSSES = {"squared_error": "reg:squarederror", "poisson": "count:poisson"}  # and the objectives' names in XGBoost


def check_parameters(estimator: NetworkParameters) -> None:
    """Refuse the first parameter that is wrong, before anything is read.

    Raises
    ------
    ParameterError
        Naming it, and the values that it may have.
    """
    check_ranges(estimator, _RANGES)
    check_federated(estimator)
    layers = hidden_layers(estimator.hidden_layer_sizes)
    if layers is None or not all(map(is_whole, layers)):
        raise ParameterError(
            f"hidden_layer_sizes={estimator.hidden_layer_sizes!r}: give a list of whole numbers from 1, perhaps none."
        )
    if estimator.activation not in tuple(ACTIVATIONS):
        raise unknown_value("activation", estimator.activation, ACTIVATIONS)
    for name in ("standardize", "warm_start"):
        if not isinstance(getattr(estimator, name), bool | np.bool_):
            raise ParameterError(f"{name}={getattr(estimator, name)!r}: give True or False.")
    if estimator.model is not None and not hasattr(estimator.model, "for_task"):
        raise ParameterError(f"model={estimator.model!r}: give a TorchModel, or None for the built-in network.")
    size, patience, target = estimator.batch_size, estimator.patience, estimator.target_score
    if size is not None and not is_whole(size):
        raise ParameterError(f"batch_size={size!r}: give a whole number from 1, or None for all rows.")
    if patience is not None and not is_whole(patience):
        raise ParameterError(f"patience={patience!r}: give a whole number from 1, or None.")
    if target is not None and not is_number(target):
        raise ParameterError(f"target_score={target!r}: give a number, or None.")
    if getattr(estimator, "loss", "squared_error") not in LOSSES:
        raise unknown_value("loss", estimator.loss, LOSSES)
    check_class_weight(getattr(estimator, "class_weight", None))
    method_of(estimator), optimiser_of(estimator), schedule_of(estimator), compression_of(estimator)


def hidden_layers(given: int | Sequence[int]) -> list[int] | None:
    """The sizes of hidden layers, of which a number is one; None for anything but a list of them."""
    if is_whole(given):
        return [given]
    return list(given) if isinstance(given, list | tuple | np.ndarray) else None


def method_of(estimator: NetworkParameters) -> AnyMethod:
    """The way of averaging: the silos' vectors, and the server's use of their mean.

    Raises
    ------
    ParameterError
    """
    method: AnyMethod = _named("method", estimator.method, METHODS, "update")
    if estimator.upload not in UPLOADS:
        raise unknown_value("upload", estimator.upload, UPLOADS)
    method.check()
    if estimator.upload == "weights":
        return method
    if not isinstance(method, FedAvg) or estimator.local_epochs != 1 or estimator.batch_size is not None:
        raise ParameterError(
            "upload='gradients' sends one gradient of all rows: it goes with local_epochs=1, batch_size=None and "
            "method='fedavg'."
        )
    return FedSGD()


def optimiser_of(estimator: NetworkParameters) -> ServerOptimiser:
    """The server's optimiser, which steps by the mean.

    Raises
    ------
    ParameterError
    """
    optimiser: ServerOptimiser = _named("server", estimator.server, OPTIMISERS, "step")
    optimiser.check()
    return optimiser


def compression_of(estimator: NetworkParameters) -> AnyCompression:
    """The way from updates to integers.

    Raises
    ------
    ParameterError
    """
    given = estimator.compression
    if given is None:
        return Exact()
    if not isinstance(given, Exact | Rounded | TopK):
        raise ParameterError(f"compression={given!r}: give a fedtrees.Rounded or TopK, or None.")
    given.check()
    return given


def schedule_of(estimator: NetworkParameters) -> Schedule:
    """The schedule of the silos' learning rate.

    Raises
    ------
    ParameterError
    """
    given, decay = estimator.schedule, estimator.decay
    if not is_number(decay, 0, 1):
        raise ParameterError(f"decay={decay!r}: give a number from 0 to 1.")
    if callable(given):
        return Checked(given)
    match given:
        case "constant":
            return Constant()
        case "exponential":
            if decay == 1:
                raise ParameterError("decay=1 leaves an exponential schedule no rate after a round; give less than 1.")
            return Exponential(1 - float(decay))
        case "inverse":
            return Inverse(float(decay))
        case "cosine":
            return Cosine(int(estimator.n_rounds))
    raise unknown_value("schedule", given, SCHEDULES)


def _named(what: str, given: Any, known: Mapping[str, Callable[[], T]], does: str) -> T:
    """The object of a name, with its defaults, or one that is given: any that has the method ``does``."""
    if isinstance(given, str):
        if given not in known:
            raise unknown_value(what, given, known)
        return known[given]()
    if isinstance(given, type) or not hasattr(given, does):
        raise ParameterError(f"{what}={given!r}: give one of {', '.join(map(repr, known))}, or an object of that kind.")
    like: T = given
    return like


def model_of(estimator: NetworkParameters, schema: Schema) -> AnyModel:
    """The model for these columns and labels.

    Raises
    ------
    DataTypeError
        Naming a column that is a category.
    """
    categories = [name for name, kind in zip(schema.names, schema.kinds, strict=True) if kind != "number"]
    if categories:
        raise DataTypeError(
            f"column {categories[0]!r} is a category; a network needs numbers: encode it, as "
            "sklearn.preprocessing.OneHotEncoder does, or train trees."
        )
    if estimator._classifies:
        n = len(schema.labels or ())
        objective = objective_of_classes(n, metric_names(estimator.eval_metric))
        outputs = 1 if objective == TWO else max(2, n)
    else:
        objective, outputs = LOSSES[estimator.loss], schema.targets
    if estimator.model is not None:
        network: AnyModel = estimator.model.for_task(len(schema.names), outputs, objective)
        return network
    hidden = [int(size) for size in hidden_layers(estimator.hidden_layer_sizes) or ()]
    return Perceptron([len(schema.names), *hidden, outputs], objective, estimator.activation)


def settings_of(
    estimator: NetworkParameters, schema: Schema, names: Sequence[str], eval_sets: int, rounds: int, seed: int | None,
    more_classes: bool = False,
) -> NetworkSettings:  # fmt: skip
    """The settings of a training on these columns by an estimator's parameters.

    Parameters
    ----------
    estimator : FedAvgClassifier or FedAvgRegressor
    schema : Schema
    names : sequence of str
        The silos.
    eval_sets : int
        Evaluation sets that silos hold.
    rounds : int
    seed : int, optional
        That of a training that goes on; None asks the estimator's random state.
    more_classes : bool, default False
        See `NetworkSettings`.

    Raises
    ------
    ParameterError, DataTypeError
    """
    model = model_of(estimator, schema)
    method = method_of(estimator)
    if isinstance(method, FedPer) and not 0 < model.tail(method.layers) < model.n_params:
        raise ParameterError(f"method: FedPer({method.layers}) leaves nothing to share; add a hidden layer.")
    eval_sets += estimator.validation_fraction is not None
    if isinstance(method, FedPer) and eval_sets:
        raise ParameterError("method='fedper' shares no whole model that evaluation sets could score: give none.")
    if estimator.target_score is not None and not eval_sets:
        raise ParameterError("target_score needs an eval_set, in fit or in each Silo, or a validation_fraction.")
    metrics = metric_names(estimator.eval_metric) or [metric_of(model.objective)]
    for name in metrics:
        if not metric_named(name, model.objective).fits(model.objective):
            raise ParameterError(f"eval_metric={name!r} says nothing of what {model.objective} predicts.")
    size = estimator.batch_size
    return NetworkSettings(
        model=model,
        features=len(schema.names),
        targets=0 if estimator._classifies else schema.targets,
        rounds=int(rounds),
        work=Work(
            int(estimator.local_epochs),
            None if size is None else int(size),
            float(estimator.learning_rate),
            float(estimator.alpha),
            float(estimator.stragglers),
        ),
        method=method,
        compression=compression_of(estimator),
        optimiser=optimiser_of(estimator),
        schedule=schedule_of(estimator),
        standardize=bool(estimator.standardize),
        seed=seed_of(estimator.random_state) if seed is None else seed,
        class_weight=class_weights(getattr(estimator, "class_weight", None), schema.labels or ()),
        more_classes=more_classes,
        **common_settings(estimator, names, eval_sets, metrics),
    )
