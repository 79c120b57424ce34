"""The columns that an estimator was trained on, and tables that are read by them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from fedtrees.core.arguments import EvalSet, Features
from fedtrees.core.data.features import read_features
from fedtrees.core.data.frames import is_frame
from fedtrees.core.data.table import DENSE, Labels, Schema, agree, refuse_mixed_formats
from fedtrees.core.data.target import plain_array
from fedtrees.core.notices import warn_caller
from fedtrees.core.protocol.aggregation import Aggregation
from fedtrees.core.protocol.channel import Channel
from fedtrees.core.protocol.checkpoint import Store
from fedtrees.core.protocol.describe import agreed_eval_sets
from fedtrees.core.protocol.federation import Federation
from fedtrees.core.protocol.ledger import Ledger
from fedtrees.errors import DataError, ParameterError
from fedtrees.estimators.common.after_fit import AfterFit, not_fitted
from fedtrees.estimators.common.named import NamedParameters


class KnowsColumns(NamedParameters):
    """An estimator that reads the columns it was trained on, and no others."""

    ledger_ = AfterFit[Ledger]()
    _schema: Schema
    _absent: ClassVar[float] = math.nan  # of entries that a sparse matrix does not hold

    def _know(self, schema: Schema) -> None:
        self._schema = msgspec.structs.replace(schema, formats={DENSE: ""})  # no part of a model

    @property
    def n_features_in_(self) -> int:
        """The number of columns that X has."""
        return len(self._known_columns("n_features_in_").names)

    @property
    def feature_names_in_(self) -> NDArray[np.object_]:
        """The names of the columns, where they have some."""
        schema = self._known_columns("feature_names_in_")
        if not schema.named:
            raise AttributeError("feature_names_in_: the columns had no names in training.")
        return np.array(schema.names, dtype=object)

    def _known_columns(self, asked: str) -> Schema:
        if not hasattr(self, "_schema"):
            raise not_fitted(self, asked)
        return self._schema

    def _read_known(
        self, X: Features, validate_features: bool = True, missing: float = math.nan
    ) -> NDArray[np.float32]:
        known = self._schema if validate_features else msgspec.structs.replace(self._schema, named=False)
        values, _ = read_features(X, known=known, missing=missing, absent=self._absent)
        if validate_features:
            self._warn_of_names(X)
        if len(values) == 0:
            raise DataError(f"Found array with 0 sample(s) (shape={values.shape}) while a minimum of 1 is required.")
        return values

    def _warn_of_names(self, X: Features) -> None:
        """Warn as scikit-learn does: the columns of training have names and those of X have none, or the reverse."""
        name = type(self).__name__
        if self._schema.labelled and not is_frame(X):
            warn_caller(f"X does not have valid feature names, but {name} was fitted with feature names")
        elif not self._schema.named and is_frame(X):
            labels = getattr(X, "column_names", None)  # pyarrow's columns are not their names
            if all(isinstance(label, str) for label in (list(X.columns) if labels is None else labels)):
                warn_caller(f"X has feature names, but {name} was fitted without feature names")


def channel_to(federation: Federation, aggregation: Aggregation | None, store: Store | None = None) -> Channel:
    """The channel of a training, which goes on from the checkpoint in a store where there is one.

    Raises
    ------
    ParameterError
        For anything but a federation.
    """
    lacking = [name for name in ("names", "ask") if not hasattr(federation, name)]
    if isinstance(federation, type) or "ask" in lacking:
        given = type(federation).__name__
        raise ParameterError(f"federation: give one, such as fedtrees.LocalFederation(silos), and not a {given}.")
    if lacking:
        given = type(federation).__name__
        raise ParameterError(f"federation: a {given} lacks {lacking[0]!r}; see fedtrees.Federation.")
    return Channel(federation, aggregation, store)


def schema_of(channel: Channel, labels: Labels, absent: float = math.nan, several: bool = False) -> tuple[Schema, int]:
    """The schema that a federation's silos share, and the number of evaluation sets that each holds.

    Parameters
    ----------
    channel : Channel
    labels : bool or "by column"
        Whether to ask for the class labels, and for those of each of several columns of y, too.
    absent : float, default NaN
        The value of entries that a sparse matrix does not hold: missing, or 0.
    several : bool, default False
        Whether rows may have several labels; the schema's are None then.

    Raises
    ------
    ParameterError
        If silos hold different numbers of evaluation sets.
    SchemaError
        Naming silo and column, or a silo of sparse and one of dense rows, where a number that the one leaves out would
        be missing and the same one of the other 0.
    DataError
        If y has several columns where there is to be one.
    """
    described = channel.describe(labels)
    eval_sets = agreed_eval_sets({name: silo.eval_sets for name, silo in described})
    schemas = [(name, silo.schema) for name, silo in described]
    schema = agree(schemas)
    if math.isnan(absent):
        refuse_mixed_formats(schema)
    if labels and schema.labels is None and not several:
        silo = next(name for name, part in schemas if part.targets > 1)
        raise DataError(f"silo {silo!r}: y has {schema.targets} columns; a classifier needs one label a row.")
    return schema, eval_sets


def refuse_other_columns(schema: Schema, known: Schema, name: str) -> None:
    """Refuse columns, targets and labels other than those of an earlier training, which the estimator continues.

    Parameters
    ----------
    schema, known : Schema
        Of the training to come, and of the earlier one.
    name : str
        Of the estimator's class.

    Raises
    ------
    DataError
    SchemaError
    """
    n, before = len(schema.names), len(known.names)
    if n != before:  # in scikit-learn's words
        given = f"X has {n} features, but {name} is expecting {before} features as input"
        raise DataError(f"{given}, those of the earlier training.")
    if schema.targets != known.targets:
        raise DataError(f"y has {schema.targets} targets, and the earlier training had {known.targets}.")
    agree([("the earlier training", known), ("now", schema)])
    for column, vocabulary in known.categories.items():
        if schema.categories[column] != vocabulary:
            given = f"column {column!r} has the categories {schema.categories[column]}"
            raise DataError(f"{given}, and the earlier training had {vocabulary}.")
    if schema.labels != known.labels:
        raise DataError(f"y holds the classes {schema.labels}, and the earlier training had {known.labels}.")


class Classifies(ClassifierMixin):
    """A classifier that scores the labels of its training, and no others."""

    classes_: Any  # an array, or of several outputs a list of arrays: an attribute of some, a property of others

    def score(self, X: Features, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """The accuracy; rows of a class that was not there in training are wrong.

        Of several outputs of two classes each, it is the share of rows with all of them right.

        Raises
        ------
        DataError
            If y holds a label that is missing, or a text among numbers.
        """
        check_is_fitted(self)
        refuse_unlike(y, self.classes_)
        return float(super().score(X, y, sample_weight))


def refuse_unlike(y: ArrayLike, classes: NDArray[np.generic] | list[NDArray[np.generic]], others: bool = True) -> None:
    """Refuse labels that cannot be compared with those of the training; ``others`` than these can.

    Of several columns, each has its own.

    Raises
    ------
    DataError
        Naming the first that is missing, a fraction, or a text among numbers.
    """
    if isinstance(classes, list):
        columns = plain_array(y, "y")
        for place, known_ones in enumerate(classes if columns.shape[1:] == (len(classes),) else ()):
            refuse_unlike(columns[:, place], known_ones, others)
        return
    known, texts = set(classes.tolist()), classes.dtype.kind == "U"
    for label in plain_array(y, "y").ravel().tolist():
        if label not in known and not (others and (isinstance(label, str) if texts else _is_whole(label))):
            raise DataError(f"y: label {label!r} was not there in training; known are {classes.tolist()}.")


def _is_whole(label: object) -> bool:
    return isinstance(label, Real) and math.isfinite(label) and label == math.floor(label)


def column_of(y: ArrayLike | None) -> NDArray[np.generic]:
    """Targets as they are given to an estimator; a table of one column is that column, with a warning.

    Raises
    ------
    DataError
        If there are none.
    """
    if y is None:
        raise DataError("requires y to be passed, but the target y is None.")
    values = plain_array(y, "y")
    if values.ndim == 2 and values.shape[1] == 1:
        from sklearn.exceptions import DataConversionWarning

        message = "A column-vector y was passed when a 1d array was expected; it is read as y.ravel()."
        warn_caller(message, DataConversionWarning)
        return values.ravel()
    return values


def per_set(what: str, given: Sequence[ArrayLike | None] | None, sets: int) -> list[ArrayLike | None]:
    """A parameter's entry for each evaluation set; None for each where there is no parameter.

    Raises
    ------
    ParameterError
        If they are not as many as sets.
    """
    entries: list[ArrayLike | None] = [None] * sets if given is None else list(given)
    if len(entries) != sets:
        raise ParameterError(f"{what} has {len(entries)} entries for {sets} in eval_set.")
    return entries


def with_columns(eval_set: EvalSet, *more: ArrayLike | None) -> EvalSet:
    """An evaluation set as a federation takes it; anything but a pair is refused there."""
    return (*eval_set, *more) if isinstance(eval_set, tuple | list) and len(eval_set) == 2 else eval_set
