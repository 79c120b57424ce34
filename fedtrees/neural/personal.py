"""One silo's own model, made of the shared one on its own rows; nothing is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np

from fedtrees.core.numeric.number_checks import is_number, is_whole
from fedtrees.errors import ParameterError
from fedtrees.neural.local import Rows, Work, train
from fedtrees.neural.model import Floats, Model


class Personal(Protocol):
    """From shared parameters to a silo's own."""

    def own(self, model: Model, params: Floats, rows: Rows, work: Work, rng: np.random.Generator) -> Floats:
        """Train on the silo's rows."""
        ...


@dataclass(frozen=True)
class FineTuning:
    """Go on from the shared parameters, on the silo's rows alone.

    Parameters
    ----------
    epochs : int, default 5
    """

    epochs: int = 5

    def own(self, model: Model, params: Floats, rows: Rows, work: Work, rng: np.random.Generator) -> Floats:
        """See `Personal`."""
        return train(model, params, rows, _epochs(work, self.epochs), rng).params


@dataclass(frozen=True)
class Ditto:
    """Fit the silo's rows, but stay near the shared parameters: Li et al. (2021), equation 2, after training.

    Parameters
    ----------
    lam : float, default 0.1
        Half of it times the squared distance is added to the loss; the larger, the less personal.
    epochs : int, default 20
    """

    lam: float = 0.1
    epochs: int = 20

    def own(self, model: Model, params: Floats, rows: Rows, work: Work, rng: np.random.Generator) -> Floats:
        """See `Personal`."""
        if not is_number(self.lam, least=0):
            raise ParameterError(f"Ditto(lam={self.lam!r}): give a number from 0.")
        lam = np.float32(self.lam)

        def pull(moved: Floats, gradient: Floats) -> None:
            gradient += lam * (moved - params)

        return train(model, params, rows, _epochs(work, self.epochs), rng, pull).params


@dataclass(frozen=True)
class OwnHead:
    """Train the last layers only, on the silo's rows: what Arivazhagan et al. (2019) call personalization layers.

    Parameters
    ----------
    layers : int, default 1
    epochs : int, default 20
    """

    layers: int = 1
    epochs: int = 20

    def own(self, model: Model, params: Floats, rows: Rows, work: Work, rng: np.random.Generator) -> Floats:
        """See `Personal`."""
        if not is_whole(self.layers):
            raise ParameterError(f"OwnHead({self.layers!r}): give a whole number of layers from 1.")
        body = model.n_params - model.tail(self.layers)

        def freeze(moved: Floats, gradient: Floats) -> None:
            gradient[:body] = 0

        return train(
            model, params, rows, _epochs(msgspec.structs.replace(work, alpha=0.0), self.epochs), rng, freeze
        ).params


def _epochs(work: Work, epochs: int) -> Work:
    if not is_whole(epochs):
        raise ParameterError(f"epochs={epochs!r}: give a whole number from 1.")
    return msgspec.structs.replace(work, epochs=epochs)
