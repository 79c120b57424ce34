"""Attributes that `fit` sets."""

from __future__ import annotations

from typing import Generic, Self, TypeVar, overload

from sklearn.exceptions import NotFittedError

T = TypeVar("T")


class AfterFit(Generic[T]):
    """An attribute that `fit` sets: before, it raises a `NotFittedError` that names the estimator.

    Of an estimator that is fitted, and that does not have it, it is an attribute that there is not.

    Examples
    --------
    >>> from fedtrees import FedTreeClassifier
    >>> hasattr(FedTreeClassifier(), "model_")
    False
    >>> FedTreeClassifier().model_
    Traceback (most recent call last):
        ...
    sklearn.exceptions.NotFittedError: model_: this FedTreeClassifier is not fitted yet; call fit first.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, estimator: None, owner: type) -> Self: ...

    @overload
    def __get__(self, estimator: object, owner: type) -> T: ...

    def __get__(self, estimator: object | None, owner: type) -> Self | T:
        if estimator is None:
            return self
        if "_schema" not in vars(estimator):
            raise not_fitted(estimator, self._name)
        raise AttributeError(f"{owner.__name__!r} object has no attribute {self._name!r}")


def not_fitted(estimator: object, asked: str) -> NotFittedError:
    """The error for an attribute that an estimator has only once it is fitted."""
    return NotFittedError(f"{asked}: this {type(estimator).__name__} is not fitted yet; call fit first.")
