"""A model's file: read, and the columns and parameters of the training that it has."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost

from fedtrees.core.data.silo_column import COLUMN
from fedtrees.core.data.table import Schema
from fedtrees.errors import DataError
from fedtrees.estimators.boosting.parameters import OF_LOSSES
from fedtrees.export.categories import vocabularies_of
from fedtrees.export.objectives import OBJECTIVES, Json
from fedtrees.trees.losses import LOSSES, Params
from fedtrees.trees.model.gradient_scale import GradientScale

if TYPE_CHECKING:
    from fedtrees.estimators.common.parameter_types import Parameters

ATTRIBUTE = "fedtrees"  # of a saved model: facts of its training that XGBoost has no place for, as JSON

About = dict[str, Any]  # as JSON has it, which `schema_of` and `parameters_of` read with care: a file may hold anything


def read_booster(file: str | PathLike[str] | bytes | bytearray) -> xgboost.Booster:
    """The model in a file, or in a file's bytes.

    Raises
    ------
    DataError
        If XGBoost cannot read it.
    FileNotFoundError
    """
    given = bytearray(file) if isinstance(file, bytes | bytearray) else str(Path(file))
    if isinstance(given, str) and not Path(given).is_file():
        raise FileNotFoundError(f"{given}: there is no such file.")
    try:
        return xgboost.Booster(model_file=given)
    except (xgboost.core.XGBoostError, ValueError) as error:
        raise DataError(f"{named(file)}: not a model that XGBoost can read.") from error


def named(file: str | PathLike[str] | bytes | bytearray) -> str:
    """A file's name, for errors."""
    return f"{len(file)} bytes" if isinstance(file, bytes | bytearray) else str(Path(file))


def booster_kind(booster: xgboost.Booster) -> str:
    """The kind of model: ``gbtree``, ``gblinear`` or ``dart``."""
    name: str = json.loads(booster.save_config())["learner"]["learner_train_param"]["booster"]
    return name


def objective_of(booster: xgboost.Booster) -> str:
    """The name of a model's objective."""
    name: str = json.loads(booster.save_config())["learner"]["objective"]["name"]
    return name


def describe(
    booster: xgboost.Booster, schema: Schema, objective: str, params: Params, split_on_silo: bool = False,
    grid: GradientScale | None = None,
) -> None:  # fmt: skip
    """Write columns and parameters of the training into a model, for when it is read back."""
    columns = {name: getattr(schema, name) for name in Schema.__struct_fields__ if name != "formats"}
    about: About = {"schema": columns, "params": {"objective": objective, **params}}
    if split_on_silo:
        about["split_on_silo"] = True
    if grid is not None:
        about["grid"] = list(grid)
    booster.set_attr(**{ATTRIBUTE: json.dumps(about)})


def note_own_silo(booster: xgboost.Booster, silo: str) -> None:
    """Write into a model of several silos the one that all rows are of."""
    about = json.loads(booster.attr(ATTRIBUTE) or "{}")
    booster.set_attr(**{ATTRIBUTE: json.dumps({**about, "own_silo": silo})})


def schema_of(booster: xgboost.Booster, about: About | None, classifies: bool) -> Schema:
    """The columns that a model was trained on, as far as it has them."""
    n = booster.num_features()
    if about is not None:
        schema = Schema(**about["schema"])
        if len(schema.names) != n or len(schema.kinds) != n:
            raise ValueError(f"{len(schema.names)} columns for {n} features")
        if about.get("split_on_silo") and schema.names[-1:] != [COLUMN]:
            raise ValueError(f"no column {COLUMN!r} to split by")
        return schema
    names = booster.feature_names or [f"f{i}" for i in range(n)]
    labels = None
    config = json.loads(booster.save_config())["learner"]["learner_model_param"]
    if classifies:
        labels = list(range(max(2, int(config["num_class"])))) if int(config["num_target"]) < 2 else None
    known = {name: vocabulary for name, vocabulary in zip(names, vocabularies_of(booster), strict=True) if vocabulary}
    kinds = ["category" if name in known else "number" for name in names]  # codes without names are numbers in X
    return Schema(list(names), kinds, known, booster.feature_names is not None, labels, int(config["num_target"]))


def parameters_of(booster: xgboost.Booster, about: About | None) -> Parameters:
    """The parameters of an estimator that a model has, by their names.

    Parameters
    ----------
    booster : xgboost.Booster
    about : dict, optional
        fedtrees' own entries; None where XGBoost wrote it alone.
    """
    learner = json.loads(booster.save_config())["learner"]
    known = dict(about.get("params", {})) if about else _written(learner["objective"])
    objective = known.pop("objective", "")
    if objective not in LOSSES:  # a function, which is not in the file
        objective = learner["objective"]["name"]
    usual = OBJECTIVES[objective].parameters if objective in OBJECTIVES else {}
    known = {name: value for name, value in known.items() if value != usual.get(name)}
    params: About = {name: known.get(name) for name in OF_LOSSES}
    params |= {
        "objective": objective,
        "n_estimators": booster.num_boosted_rounds(),
        "num_parallel_tree": int(learner["gradient_booster"]["gbtree_model_param"]["num_parallel_tree"]),
        "split_on_silo": bool(about and about.get("split_on_silo")),
    }
    if "c" in (booster.feature_types or ()) and not params["split_on_silo"]:
        params["enable_categorical"] = True
    return params


def _written(objective: Json) -> Params:
    """An objective of XGBoost's, as the values that its texts stand for."""
    form = OBJECTIVES.get(objective["name"])
    section = {} if form is None or form.section is None else objective[form.section]
    values = {name: _value(section[name]) for name in ([] if form is None else form.parameters) if name in section}
    return {"objective": objective["name"], **values}


def _value(text: str) -> float | bool | str | list[float]:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return float(str(np.float32(value))) if isinstance(value, float) else value  # 1.2, written 1.20000005
