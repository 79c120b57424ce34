"""The main loop of every training: rounds that make a state of a state, and an observer between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from fedtrees.training.state import TrainingState

if TYPE_CHECKING:
    from fedtrees.core.protocol.channel import Channel

S = TypeVar("S", bound=TrainingState)


class Training(Protocol[S]):
    """A training that is prepared: the silos have their terms, and rounds may follow.

    Law: `step` is a function of the state and of the silos' answers; so some rounds, a restart of the server and of the
    silos, and the other rounds give the bits of all rounds in one piece.
    """

    @property
    def channel(self) -> Channel:
        """The way in which it asks its silos."""
        ...

    @property
    def rounds(self) -> int:
        """The number of the round that it ends before."""
        ...

    def first(self) -> S:
        """Return the state before the first round."""
        ...

    def step(self, state: S) -> S:
        """Return the state after one more round."""
        ...


class Observer(Generic[S]):
    """An observer of a training, which may change its state between rounds; this one only looks on."""

    def begin(self, training: Training[S], state: S) -> None:
        """Take in the state that training begins with, or goes on from."""

    def before(self, state: S) -> S:
        """Return the state that the coming round is to begin with."""
        return state

    def after(self, state: S) -> S:
        """Return the state after a round as it is to be."""
        return state


def train(training: Training[S], observer: Observer[S]) -> S:
    """Train round by round, from the channel's checkpoint on where it has one.

    Parameters
    ----------
    training : Training
    observer : Observer

    Returns
    -------
    The state after the last round.
    """
    first = training.first()
    state = training.channel.begin_rounds(type(first)) or first
    observer.begin(training, state)
    while state.round < training.rounds and not state.ended:
        state = observer.before(state)
        if not state.ended:
            state = observer.after(training.step(state))
            training.channel.save(state)
    return state
