"""XGBoost's callbacks over a federated training: their calls, and the model that they get."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex

from fedtrees.core.files import check_folder
from fedtrees.errors import ParameterError
from fedtrees.trees.server.ensemble import Ensemble

if TYPE_CHECKING:
    import xgboost
    from xgboost.callback import TrainingCallback

    from fedtrees.estimators.common.history import Scores


class GrowingModel:
    """The model as far as it has grown, which XGBoost's callbacks get for a Booster.

    It has the learning rate to set, attributes to note things in, and whatever else a Booster of the trees so far has;
    that Booster is built when it is asked for, and kept until the next round.

    Parameters
    ----------
    export : callable
        Makes the Booster of an ensemble.
    learning_rate : float
    before : int, default 0
        Rounds of the model that training goes on from.
    """

    def __init__(self, export: Callable[[Ensemble], xgboost.Booster], learning_rate: float, before: int = 0):
        self.before = before
        self.learning_rate = learning_rate
        self._rounds = 0
        self._noted: dict[str, str] = {}
        self._export = export
        self._ensemble: Callable[[], Ensemble] | None = None
        self._booster: xgboost.Booster | None = None

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # no subclass of `GrowingModel`'s, as mypy wants it
        """A Booster's: some of XGBoost's callbacks ask, and it can do all that one can."""
        import xgboost

        return xgboost.Booster

    def grown(self, rounds: int, ensemble: Callable[[], Ensemble]) -> None:
        """Take in a finished round: the number of rounds now, and a function that returns the trees so far."""
        self._rounds, self._ensemble, self._booster = rounds, ensemble, None

    def set_param(self, params: str | dict[str, float] | Iterable[tuple[str, float]], value: Any = None) -> None:
        """Set the learning rate of the rounds to come; nothing else can change between rounds.

        Raises
        ------
        ParameterError
        """
        given = params if isinstance(params, dict) else {params: value} if isinstance(params, str) else dict(params)
        for name, new in given.items():
            if name not in ("learning_rate", "eta"):
                raise ParameterError(f"a callback may change learning_rate between rounds, and not {name!r}.")
            if not 0 < float(new) <= 1e38:
                raise ParameterError(f"a callback set the learning rate to {new!r}; give a number above 0.")
            self.learning_rate = float(new)

    def set_attr(self, **attributes: object) -> None:
        """Note something that is saved with the model; None takes it off."""
        for name, value in attributes.items():
            self._noted.pop(name, None)
            if value is not None:
                self._noted[name] = str(value)

    def attr(self, name: str) -> str | None:
        """The note of a name, or None."""
        return self._noted.get(name)

    def attributes(self) -> dict[str, str]:
        """All that was noted."""
        return dict(self._noted)

    def num_boosted_rounds(self) -> int:
        """Rounds so far."""
        return self.before + self._rounds

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[object, ...]:
        """Pickle as the Booster so far, as a checkpoint does."""
        return self._built().__reduce_ex__(protocol)

    def __getattr__(self, name: str) -> Any:  # of any attribute of a Booster
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._built(), name)

    def __getitem__(self, rounds: slice) -> xgboost.Booster:
        return self._built()[rounds]

    def _built(self) -> xgboost.Booster:
        if self._ensemble is None:
            raise ParameterError("there is no tree yet, so there is no Booster for a callback to look at.")
        if self._booster is None:
            self._booster = self._export(self._ensemble())
            self._booster.set_attr(**self._noted)
        return self._booster


class Callbacks:
    """The callbacks of one training, called where XGBoost calls them.

    Parameters
    ----------
    callbacks : sequence of xgboost.callback.TrainingCallback
    model : GrowingModel
    history : dict
        Each set's metrics, round by round; it grows as training goes on.
    """

    # Any: a callback takes a Booster, which to mypy the model is not
    def __init__(self, callbacks: Sequence[Any], model: GrowingModel, history: Scores):
        self._callbacks, self._history, self.model = callbacks, history, model

    def start(self) -> None:
        """Before the first round."""
        for callback in self._callbacks:
            callback.before_training(self.model)

    def before(self, round: int) -> bool:
        """Before a round; True ends the training."""
        ended = [callback.before_iteration(self.model, round, self._history) for callback in self._callbacks]
        return any(ended)

    def after(self, round: int) -> bool:
        """After a round; True ends the training."""
        ended = [callback.after_iteration(self.model, round, self._history) for callback in self._callbacks]
        return any(ended)

    def end(self) -> Any:
        """After the last round; returns the model, or the Booster that one of them would have in its place."""
        model: Any = self.model  # see `__init__`
        for callback in self._callbacks:
            model = callback.after_training(model)
            if not hasattr(model, "num_boosted_rounds"):
                raise ParameterError(f"callbacks: {callback!r} returned no model after training, but {model!r}.")
        return model


def check_callbacks(callbacks: Sequence[TrainingCallback] | None) -> list[TrainingCallback]:
    """The callbacks as a list.

    Raises
    ------
    ParameterError
        For anything but an ``xgboost.callback.TrainingCallback``.
    FileNotFoundError, PermissionError
        For a folder of checkpoints that does not exist, or cannot be written to.
    """
    if callbacks is None:
        return []
    if not isinstance(callbacks, list | tuple):
        raise ParameterError(f"callbacks={callbacks!r}: give a list of xgboost.callback.TrainingCallback.")
    from xgboost.callback import TrainingCallback, TrainingCheckPoint

    for callback in callbacks:
        if not isinstance(callback, TrainingCallback):
            raise ParameterError(f"callbacks: {callback!r} is no xgboost.callback.TrainingCallback.")
        if isinstance(callback, TrainingCheckPoint):
            check_folder(callback._path or os.curdir)
    return list(callbacks)
