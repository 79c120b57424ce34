"""What `import fedtrees` offers, how little it costs, and the tree of what it raises."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import fedtrees
from fedtrees import errors
from fedtrees.errors import unknown_value

# What users may rely on; a name that comes or goes is a change for the CHANGELOG.
PUBLIC = [
    "Aggregation",
    "Answer",
    "ArgumentError",
    "Availability",
    "BySize",
    "Channel",
    "DataError",
    "DataTypeError",
    "Ditto",
    "DivergenceError",
    "FedAdaBoostClassifier",
    "FedAdaBoostRegressor",
    "FedAvgClassifier",
    "FedAvgRegressor",
    "FedExtraTreesClassifier",
    "FedExtraTreesRegressor",
    "FedForestClassifier",
    "FedForestRegressor",
    "FedGBTClassifier",
    "FedGBTRanker",
    "FedGBTRegressor",
    "FedTreeClassifier",
    "FedTreeRegressor",
    "FedTreesError",
    "Federation",
    "FineTuning",
    "FixedFraction",
    "FixedNumber",
    "HeadroomError",
    "Ledger",
    "LocalFederation",
    "MissingExtraError",
    "MoreTrees",
    "OneClassWarning",
    "OwnHead",
    "OwnLeaves",
    "ParameterError",
    "Period",
    "PlainSum",
    "Poisson",
    "Postman",
    "ProtocolError",
    "Rounded",
    "RowWeights",
    "SchemaError",
    "Silo",
    "SiloLostError",
    "SiloWeights",
    "TopK",
    "TorchModel",
    "Transport",
    "UnreliableFederation",
    "expected_failed_checks",
]


def python(code: str) -> str:
    """What a fresh process prints."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    return run.stdout


# -- names ------------------------------------------------------------------------------------------------


def test_all_is_sorted_complete_and_the_lazy_table() -> None:
    assert fedtrees.__all__ == sorted(fedtrees.__all__) == PUBLIC
    assert sorted(fedtrees._HOME) == fedtrees.__all__
    assert sorted(dir(fedtrees)) == sorted([*fedtrees.__all__, "__version__"])


@pytest.mark.parametrize("name", PUBLIC)
def test_every_name_comes_from_its_home_and_says_what_it_is(name: str) -> None:
    value = getattr(fedtrees, name)
    assert value is getattr(import_module(fedtrees._HOME[name]), name)
    assert value.__module__ == fedtrees._HOME[name] and value.__name__ == name
    assert inspect.getdoc(value)


def test_type_checkers_see_the_same_names() -> None:
    (block,) = (
        node
        for node in ast.parse(Path(inspect.getfile(fedtrees)).read_text(encoding="utf-8")).body
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
    )
    imported = {
        alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imported == fedtrees._HOME


def test_a_name_that_there_is_not() -> None:
    with pytest.raises(AttributeError, match="module 'fedtrees' has no attribute 'FedGBTClasifier'"):
        fedtrees.FedGBTClasifier  # noqa: B018 - that it is looked up is what is tested
    with pytest.raises(ImportError, match="FedGBTClasifier"):
        from fedtrees import FedGBTClasifier  # noqa: F401


def test_the_version_is_the_distribution_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", {"fedtrees": "1.2.3"}.get)  # installed or not
    assert fedtrees.__version__ == "1.2.3"


def test_a_star_brings_every_name() -> None:
    space: dict[str, Any] = {}
    exec("from fedtrees import *", space)
    assert set(PUBLIC) <= set(space)


# -- what an import costs ---------------------------------------------------------------------------------


def test_importing_loads_nothing_else() -> None:
    heavy = ["numpy", "numba", "xgboost", "pandas", "sklearn", "scipy", "msgspec", "rich"]
    code = f"import sys, fedtrees; print([name for name in {heavy} if name in sys.modules])"
    assert python(code) == "[]\n"


def test_catching_an_error_loads_nothing_else() -> None:
    code = "import sys; from fedtrees import DataError; print('numpy' in sys.modules, DataError.__mro__[2].__name__)"
    assert python(code) == "False ValueError\n"


def test_a_silo_needs_no_estimators() -> None:
    code = (
        "import sys; from fedtrees import Silo; print([n for n in ('sklearn', 'xgboost', 'rich') if n in sys.modules])"
    )
    assert python(code) == "[]\n"


# -- errors -----------------------------------------------------------------------------------------------


def drawn_tree() -> dict[str, tuple[str, ...]]:
    """Each class and its bases, read off the drawing in the module's docstring."""
    bases: dict[str, tuple[str, ...]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        drawing = line.lstrip("│├└─ ")
        name = drawing.split(" ")[0]
        if not name.endswith("Error"):
            continue
        depth = (len(line) - len(drawing)) // 4
        path = [*path[:depth], name]
        others = (
            drawing.split("(")[1].split(")")[0].split(", ") if drawing[len(name) :].lstrip().startswith("(") else []
        )
        bases[name] = (path[depth - 1] if depth else "Exception", *others)
    return bases


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    real = {name: tuple(base.__name__ for base in getattr(errors, name).__bases__) for name in errors.__all__}
    assert real == drawn_tree()
    assert errors.__all__ == sorted(errors.__all__)
    assert set(errors.__all__) <= set(fedtrees.__all__)


def test_every_error_of_the_module_is_listed_and_ours() -> None:
    classes = {
        name for name, value in vars(errors).items() if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert classes == set(errors.__all__)
    assert all(issubclass(getattr(errors, name), fedtrees.FedTreesError) for name in classes)


@pytest.mark.parametrize(
    ("value", "hint"), [("faitful", ": did you mean 'faithful'?"), ("zebra", "."), (None, "."), (3, ".")]
)
def test_an_unknown_value_names_the_nearest(value: object, hint: str) -> None:
    error = unknown_value("mode", value, ["fused", "faithful"])
    assert str(error) == f"mode={value!r} is not known{hint} Known: 'faithful', 'fused'."


@pytest.mark.parametrize(("n", "listed"), [(15, True), (16, True), (17, False)])
def test_sixteen_known_words_are_listed_beside_a_guess_and_all_where_there_is_none(n: int, listed: bool) -> None:
    known = [f"word{k:02}" for k in range(n)]
    everything = f" Known: {', '.join(map(repr, known))}."
    assert str(unknown_value("what", "word0", known[::-1])).endswith(everything) == listed
    assert str(unknown_value("what", "zzz", known[::-1])) == f"what='zzz' is not known.{everything}"


@pytest.mark.parametrize(
    ("error", "kinds"),
    [
        (errors.DataError, {ValueError}), (errors.DataTypeError, {ValueError, TypeError}),
        (errors.SchemaError, {ValueError}), (errors.ParameterError, {ValueError}),
        (errors.ArgumentError, {ValueError, TypeError}), (errors.DivergenceError, {ArithmeticError}),
        (errors.HeadroomError, {OverflowError, ArithmeticError}), (errors.ProtocolError, set()),
        (errors.SiloLostError, {ConnectionError, OSError}), (errors.MissingExtraError, {ImportError}),
    ],
    ids=lambda own: getattr(own, "__name__", None),
)  # fmt: skip
def test_errors_are_caught_as_what_python_calls_them(error: Any, kinds: set[Any]) -> None:
    own = {kind for kind in error.__mro__ if kind.__module__ == "builtins"} - {object, Exception, BaseException}
    assert own == kinds and issubclass(error, errors.FedTreesError)
