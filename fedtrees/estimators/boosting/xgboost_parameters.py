"""XGBoost's parameters that fedtrees has none for: other names of ours, and choices of which it makes one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec

import numpy as np

from fedtrees.core.arguments import unknown_argument
from fedtrees.errors import ParameterError

if TYPE_CHECKING:
    from fedtrees.estimators.common.parameter_types import Parameters

_P = ParamSpec("_P")

# XGBoost's other names of parameters that both have
ALIASES = {
    "eta": "learning_rate",
    "lambda": "reg_lambda",
    "alpha": "reg_alpha",
    "min_split_loss": "gamma",
    "nthread": "n_jobs",
    "seed": "random_state",
}


class Choice(NamedTuple):
    """Choices of XGBoost's that fedtrees makes in one way."""

    taken: tuple[str | int, ...]  # values for the choice that fedtrees makes; the first is the word for it
    instead: str  # of any other value, the reason and the way out


CHOICES: Mapping[str, Choice] = {
    "booster": Choice(("gbtree",), "only trees can be summed over silos, not linear models or trees that drop out"),
    "tree_method": Choice(("hist", "auto"), "silos send histograms, and exact or approximate sketches need their rows"),
    "device": Choice(("cpu",), "silos' histograms are made on processors, see n_jobs"),
    "sampling_method": Choice(("uniform",), "rows are drawn alike, whatever their gradients; see subsample"),
    "multi_strategy": Choice(("one_output_per_tree",), "each output has trees for itself"),
    "process_type": Choice(("default",), "for new leaves of old trees see personalize(silo, OwnLeaves())"),
    "updater": Choice(("grow_quantile_histmaker",), "trees grow from histograms; for pruning see gamma"),
    "refresh_leaf": Choice((True, 1), "for new leaves of old trees see personalize(silo, OwnLeaves())"),
    "verbosity": Choice((1, 0), "verbose=1 shows progress; XGBoost's own messages are set by xgboost.set_config"),
    "validate_parameters": Choice((True, 1), "what is no parameter is always refused"),
    "disable_default_eval_metric": Choice((False, 0), "without an eval_set nothing is scored"),
    "seed_per_iteration": Choice((False, 0), "each round draws by random_state and its number"),
    "use_label_encoder": Choice((False, 0), "labels of any type are read as they are"),
    "feature_types": Choice((), "the columns' dtypes say it: give a DataFrame with those of dtype 'category'"),
    "num_class": Choice((), "y says it"),
}


NAMES = frozenset((*ALIASES, *CHOICES))


def in_our_names(given: Parameters) -> dict[str, object]:
    """Parameters with ours in place of XGBoost's other names, and without its choices, which are ours.

    None is not given, as in XGBoost.

    Raises
    ------
    ParameterError
        For choices that fedtrees does not have, all at once; and for two values of one parameter.

    Examples
    --------
    >>> in_our_names({"eta": 0.1, "max_depth": 3, "tree_method": "hist", "device": None})
    {'max_depth': 3, 'learning_rate': 0.1}
    >>> in_our_names({"device": "cuda"})
    Traceback (most recent call last):
    fedtrees.errors.ParameterError: device='cuda': silos' histograms are made on processors, see n_jobs; leave it out \
or give 'cpu'.
    """
    wrong = [
        f"{name}={given[name]!r}: {choice.instead}; leave it out" + _or_give(choice)
        for name, choice in CHOICES.items()
        if name in given and not _is_taken(given[name], choice.taken)
    ]
    if wrong:
        raise ParameterError(". ".join(wrong) + ".")
    ours = {name: value for name, value in given.items() if name not in NAMES}
    for alias, name in ALIASES.items():
        value = given.get(alias)
        if alias not in given or (value is None and name in ours):
            continue
        if ours.get(name) is not None and ours[name] != value:
            raise ParameterError(f"{name}={ours[name]!r} and {alias}={value!r} are one parameter; give one of them.")
        ours[name] = value
    return ours


def by_xgboosts_names(init: Callable[_P, None]) -> Callable[_P, None]:
    """Make a constructor take XGBoost's other names; its signature has ours alone, as scikit-learn asks."""
    known = frozenset(signature(init).parameters)

    @wraps(init)
    def taken(*args: _P.args, **kwargs: _P.kwargs) -> None:
        if kwargs.keys() <= known:
            return init(*args, **kwargs)
        for name in kwargs:
            if name not in known and name not in NAMES:  # of a subclass that passes on names that it does not have
                raise unknown_argument(type(args[0]).__name__, name, (known | NAMES) - {"self"})
        renamed: Any = in_our_names(kwargs)  # as `kwargs` are, to mypy
        return init(*args, **renamed)

    return taken


def _is_taken(value: object, taken: tuple[str | int, ...]) -> bool:
    return value is None or (isinstance(value, str | int | np.bool_ | np.integer) and value in taken)


def _or_give(choice: Choice) -> str:
    return f" or give {choice.taken[0]!r}" if choice.taken else ""
