"""scikit-learn's installed test modules, with our estimators where they import theirs.

A module is executed a second time, under another name, while `sklearn.tree` and its like hold our classes. Its test
functions and their tables of parameters are then about ours. Nothing of scikit-learn is copied, and the modules that
others import are untouched.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest

import fedtrees

OURS: dict[str, dict[str, type]] = {
    "sklearn.tree": {
        "DecisionTreeClassifier": fedtrees.FedTreeClassifier,
        "DecisionTreeRegressor": fedtrees.FedTreeRegressor,
    },
    "sklearn.ensemble": {
        "RandomForestClassifier": fedtrees.FedForestClassifier,
        "RandomForestRegressor": fedtrees.FedForestRegressor,
        "ExtraTreesClassifier": fedtrees.FedExtraTreesClassifier,
        "ExtraTreesRegressor": fedtrees.FedExtraTreesRegressor,
        "AdaBoostClassifier": fedtrees.FedAdaBoostClassifier,
        "AdaBoostRegressor": fedtrees.FedAdaBoostRegressor,
    },
    "sklearn.neural_network": {
        "MLPClassifier": fedtrees.FedAvgClassifier,
        "MLPRegressor": fedtrees.FedAvgRegressor,
    },
}
# values of parameters that a case is left out for
NOT_HERE = {
    "ExtraTreeClassifier": "has no counterpart: a FedExtraTreesClassifier of one tree",
    "ExtraTreeRegressor": "has no counterpart: a FedExtraTreesRegressor of one tree",
    "RandomTreesEmbedding": "has no counterpart",
    "GradientBoostingClassifier": "is scikit-learn's",
    "GradientBoostingRegressor": "is scikit-learn's",
    "absolute_error": "a median is no sum; ParameterError says so",
    "friedman_mse": "deprecated, the splits of squared_error; ParameterError says so",
    "random": "there is no `splitter`",
}
FIXTURES: dict[str, Any] = {"global_random_seed": 42}  # of scikit-learn's conftest


@cache
def suite(name: str) -> ModuleType:
    """A second copy of the test module `name`, about our estimators."""
    found = find_spec(name)
    assert found is not None and found.origin is not None
    spec = spec_from_file_location(f"ours_in_{name.replace('.', '_')}", found.origin)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    with ExitStack() as patches:
        for home, classes in OURS.items():
            patches.enter_context(patch.multiple(importlib.import_module(home), **classes))
        spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Case:
    """A test function of a peer, and the arguments of one of its cases."""

    module: ModuleType
    name: str
    arguments: dict[str, Any]
    number: int

    @property
    def label(self) -> str:
        home = self.module.__name__.rpartition("tests_test_")[2]
        return "-".join([f"{home}:{self.name}", *filter(None, map(_word, self.arguments.values())), str(self.number)])

    def run(self) -> None:
        """Run it as scikit-learn would: trees grow without a limit unless a depth is given."""
        unlimited = (fedtrees.FedTreeClassifier, fedtrees.FedTreeRegressor, *_forests())
        with ExitStack() as patches:
            for kind in unlimited:
                start = inspect.unwrap(kind.__init__)
                patches.enter_context(patch.dict(start.__kwdefaults__, max_depth=None))
            getattr(self.module, self.name)(**self.arguments)


def _forests() -> list[type]:
    return [kind for name, kind in OURS["sklearn.ensemble"].items() if "AdaBoost" not in name]


def _word(value: Any) -> str:
    word = str(getattr(value, "__name__", value if isinstance(value, str | int | float) else ""))
    return word if len(word) < 40 else ""


def _table(mark: pytest.Mark) -> list[dict[str, Any]]:
    """The cases of one `parametrize`, each the arguments that it gives."""
    names, rows = mark.args[:2]
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    plain = [row.values if hasattr(row, "marks") else row if len(names) > 1 else (row,) for row in rows]
    return [dict(zip(names, row, strict=True)) for row in plain]


def cases(module: str, name: str, held: Callable[[dict[str, Any]], bool] = lambda arguments: True) -> Iterator[Any]:
    """Every case of a test function that is about ours and `held`, as pytest takes parameters."""
    copy = suite(module)
    function = getattr(copy, name)
    marks = getattr(function, "pytestmark", [])
    tables = [_table(mark) for mark in marks if mark.name == "parametrize"]
    kept = [mark for mark in marks if mark.name in ("filterwarnings", "skipif", "usefixtures")]
    wanted = inspect.signature(function).parameters
    for number, rows in enumerate(itertools.product(*tables)):
        arguments = {key: value for row in rows for key, value in row.items()}
        words = {_word(value) for value in arguments.values()} | {type(value).__name__ for value in arguments.values()}
        if words.isdisjoint(NOT_HERE) and held(arguments):
            given = {key: value for key, value in FIXTURES.items() if key in wanted and key not in arguments}
            case = Case(copy, name, arguments | given, number)
            yield pytest.param(case, id=case.label, marks=kept)
