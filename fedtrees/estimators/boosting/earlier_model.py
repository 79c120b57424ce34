"""The model that a training goes on from: checked against the columns, whose categories go on by its codes."""

from __future__ import annotations

import json
from dataclasses import replace
from os import PathLike

import msgspec
import xgboost

from fedtrees.core.data.labels import ClassLabels, Label
from fedtrees.core.data.table import Schema
from fedtrees.errors import DataError, ParameterError
from fedtrees.estimators.boosting.model_file import ATTRIBUTE, About, read_booster
from fedtrees.export.categories import vocabularies_of
from fedtrees.export.continued import Continued
from fedtrees.trees.losses import Loss
from fedtrees.trees.model.gradient_scale import GradientScale


def go_on_from(given: xgboost.Booster, schema: Schema, loss: Loss) -> tuple[Continued, Schema]:
    """The model that a training goes on from, and the columns with categories in the order of its codes.

    Categories that the model does not have follow those that it has.

    Parameters
    ----------
    given : xgboost.Booster
    schema : Schema
        The columns of the rows to train on, and the labels of `labels_to_go_on_with`.
    loss : Loss

    Raises
    ------
    DataError
        If the model is of other columns, categories or another objective.
    """
    earlier = Continued.read(given)
    outputs = loss.outputs(len(schema.labels or ()), schema.targets)
    if earlier.objective != loss.exported_as(outputs):
        raise DataError(f"xgb_model: a model of {earlier.objective!r}, and this training is of {loss.name!r}.")
    if earlier.trees.outputs != outputs:
        raise DataError(f"xgb_model: a model of {earlier.trees.outputs} outputs, and this training has {outputs}.")
    if earlier.trees.features != len(schema.names):
        raise DataError(f"xgb_model: a model of {earlier.trees.features} features, and X has {len(schema.names)}.")
    if schema.named and given.feature_names is not None and given.feature_names != schema.names:
        raise DataError(f"xgb_model: a model of the features {given.feature_names}, and X has {schema.names}.")
    about = _about(given).get("schema", {})
    categories = _aligned(schema, _vocabularies_of(given, schema, about))
    return replace(earlier, gradient_scale=_gradient_scale_of(given)), msgspec.structs.replace(
        schema, categories=categories
    )


def earlier_booster(given: object) -> xgboost.Booster:
    """The Booster of a model to go on from: a Booster itself, a fitted estimator, a path or bytes.

    Raises
    ------
    DataError
        For a file without a model.
    ParameterError
        For anything but a model.
    FileNotFoundError
    """
    if isinstance(given, str | PathLike | bytes | bytearray):
        return read_booster(given)
    booster = given.get_booster() if hasattr(given, "get_booster") else given
    if not isinstance(booster, xgboost.Booster):
        raise ParameterError(f"xgb_model: give a Booster, a fitted estimator or a path, not {type(given).__name__}.")
    return booster


def labels_to_go_on_with(booster: xgboost.Booster, labels: ClassLabels | None) -> ClassLabels | None:
    """The classes of the earlier model, of which the rows that it goes on with need not hold all.

    Raises
    ------
    DataError
        For a label that is none of them.
    """
    about = _about(booster).get("schema", {})
    known = about["labels"] if "labels" in about else _classes_without_names(booster, labels)
    if not labels or not known or known == labels:
        return labels  # a model of numbers is refused by its objective
    if not set(labels) <= set(known):
        raise DataError(f"xgb_model: a model of the classes {known}, and y holds {labels}.")
    return known


def _classes_without_names(booster: xgboost.Booster, labels: ClassLabels | None) -> ClassLabels | None:
    """The classes of a model that XGBoost wrote: whole numbers from 0, or whatever as many labels there are."""
    n = max(2, int(json.loads(booster.save_config())["learner"]["learner_model_param"]["num_class"]))
    return list(range(n)) if labels and len(labels) < n else labels


def _about(booster: xgboost.Booster) -> About:
    about: About = json.loads(booster.attr(ATTRIBUTE) or "{}")
    return about


def _vocabularies_of(booster: xgboost.Booster, schema: Schema, about: About) -> list[list[Label] | None]:
    """The vocabulary of each of the model's columns; None of numbers, and empty of codes that came without one."""
    if about:
        return [about["categories"].get(name) for name in about["names"]]
    kinds = booster.feature_types or ["float"] * len(schema.names)
    each = zip(kinds, vocabularies_of(booster), strict=True)
    return [vocabulary if kind == "c" else None for kind, vocabulary in each]


def _aligned(schema: Schema, earlier: list[list[Label] | None]) -> dict[str, list[Label]]:
    """The vocabularies of a training whose codes go on from an earlier model's."""
    aligned = {}
    for name, known in zip(schema.names, earlier, strict=True):
        now = schema.categories.get(name)
        if (known is None) != (now is None):
            kinds = ("numbers", "categories") if known is None else ("categories", "numbers")
            raise DataError(f"xgb_model: to the model, column {name!r} holds {kinds[0]}, and here it holds {kinds[1]}.")
        if known is None or now is None:
            continue
        if not known:
            raise DataError(f"xgb_model: the model has codes of column {name!r}, and no names of its categories.")
        texts, were = (isinstance(names[0], str) if names else None for names in (now, known))
        if texts is not None and texts != were:
            kind = "texts" if were else "numbers"
            raise DataError(
                f"xgb_model: to the model, the categories of column {name!r} are {kind}, and here they are not."
            )
        there = set(known)
        aligned[name] = [*known, *(category for category in now if category not in there)]
    return aligned


def _gradient_scale_of(booster: xgboost.Booster) -> GradientScale | None:
    """Return the gradient scale that a model's training would have gone on with, where it is noted."""
    noted = _about(booster).get("grid")
    if not isinstance(noted, list) or len(noted) != len(GradientScale._fields):
        return None
    return GradientScale(*noted) if all(type(number) is int for number in noted) else None
