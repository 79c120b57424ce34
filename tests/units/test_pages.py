"""The pages for newcomers say what is so: files, names, laws, versions and layers that they mention are there."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import laws_index
import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["ARCHITECTURE.md", "CONTRIBUTING.md", "GLOSSARY.md", "SECURITY.md"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
each_page = pytest.mark.parametrize("page", PAGES)
OTHERS = {"msgspec.Struct"}  # names of other packages


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


@cache
def names() -> tuple[dict[str, set[str]], set[str]]:
    """What the package defines: classes, with their members and bases, and all names besides; from the source alone."""
    classes: dict[str, set[str]] = {}
    others: set[str] = set()
    for path in (*(ROOT / "fedtrees").rglob("*.py"), *(ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                bases = {f"({part.id})" for base in node.bases for part in ast.walk(base) if isinstance(part, ast.Name)}
                classes.setdefault(node.name, set()).update(_defined(node.body), bases, _set_on_self(node))
            elif isinstance(node, ast.FunctionDef):
                others |= {node.name, *(own.arg for own in (*node.args.args, *node.args.kwonlyargs))}
        others |= _defined(ast.parse(path.read_text()).body)
    return classes, others


def _defined(body: list[ast.stmt]) -> set[str]:
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {part.id for own in targets for part in ast.walk(own) if isinstance(part, ast.Name)}
    return found


def _set_on_self(node: ast.ClassDef) -> set[str]:
    stored = (part for part in ast.walk(node) if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store))
    return {part.attr for part in stored if isinstance(part.value, ast.Name) and part.value.id == "self"}


def has(kind: str, member: str) -> bool:
    """Whether a class, or one that it derives from, has a member."""
    members = names()[0].get(kind, set())
    return member in members or any(
        has(base[1:-1], member) for base in members if base[0] == "(" and base != f"({kind})"
    )


def is_there(dotted: str) -> bool:
    """Whether ``fedtrees.a.b``, or a name in such a module, is there."""
    parts = dotted.split(".")
    for n in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:n])
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.exists():
                defined = _defined(ast.parse(file.read_text()).body) | set(
                    re.findall(r'^    "(\w+)",$', file.read_text(), re.M)
                )
                return n == len(parts) or parts[n] in defined
    return False


@each_page
def test_paths_and_links_are_there(page: str) -> None:
    text = text_of(page)
    mentioned = set(re.findall(r"(?<![\w/.])((?:fedtrees|tests|examples|\.ci)/[\w/.]*[\w/])", text))
    mentioned |= set(re.findall(r"`(\w+\.(?:md|toml|cff))`", text)) | set(re.findall(r"\]\(([\w/.]+)\)", text))
    assert mentioned or page == "SECURITY.md"
    assert not {own for own in mentioned if not (ROOT / own).exists()}


@each_page
def test_names_are_there(page: str) -> None:
    classes, others = names()
    quoted = set(re.findall(r"`([\w.]+)`", re.sub(r"```.*?```", "", text_of(page), flags=re.S)))
    wrong = {own for own in quoted if own.startswith("fedtrees.") and not is_there(own)}
    for own in quoted:
        kind, _, member = own.partition(".")
        if not re.fullmatch(r"_*[A-Z]\w+(\.\w+)?", own) or (ROOT / own).exists():
            continue
        if (member and not has(kind, member)) or (not member and kind not in classes and kind not in others):
            wrong.add(own)
    assert not wrong - OTHERS


def test_walks_name_what_is_there() -> None:
    """In the drawing of a round and in walks, functions as well."""
    text = text_of("ARCHITECTURE.md")
    classes, others = names()
    (drawing,) = re.findall(r"```text\n(.*?)```", text, re.S)
    for kind, member in re.findall(r"\b([A-Z]\w+)\.(\w+)", drawing):
        assert has(kind, member), f"{kind}.{member}"
    known = others | set(classes) | set().union(*classes.values())
    walks = text[text.index("## A gradient, from row to leaf") :]
    assert not set(re.findall(r"`([a-z]\w+)`", walks)) - known


def test_the_layers_of_the_page_are_those_of_the_contract() -> None:
    contract, _, wings, families = PROJECT["tool"]["importlinter"]["contracts"]
    modules = [own for layer in contract["layers"] for own in layer.split(" | ") if own[0] != "("]
    text = text_of("ARCHITECTURE.md")
    places = [
        text.index(f"`fedtrees/{own}" + ("/`" if (ROOT / "fedtrees" / own).is_dir() else ".py`")) for own in modules
    ]
    ranks = [text.count("\n", 0, place) for place in places]
    assert ranks == sorted(ranks)
    order = [text.index(f"`{own}`", text.index("`trees` has six wings")) for own in wings["layers"]]
    assert order == sorted(order)
    start = text.index("`estimators` has")
    assert all(
        f"`{family}`" in text[start : start + 200] for layer in families["layers"] for family in layer.split(" | ")
    )


@each_page
def test_nothing_of_a_single_machine_stands_in_a_page(page: str) -> None:
    assert not re.search(r"/(?:tmp|work|home|root)/|\bhelpers?\b|\bsession|issue #?\d", text_of(page))


def test_the_glossary_has_each_word_once() -> None:
    words = re.findall(r"^\| ([a-z][\w, ]*?) \|", text_of("GLOSSARY.md"), re.M)
    assert "silo" in words and 20 <= len(words) - 1 <= 30
    assert len(words) == len(set(words))


def test_every_law_is_held_by_a_test_and_the_index_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """Where this fails: mark the tests, and run ``python tests/laws_index.py > LAWS.md``."""
    stated, wrong = laws_index.indexed()
    assert not wrong
    source = sum(path.read_text().count("Law: ") for path in (ROOT / "fedtrees").rglob("*.py"))
    assert len(stated) == source  # none outside a docstring, nor two in one paragraph
    assert laws_index.main() == 0 and capsys.readouterr().out == text_of("LAWS.md")


def test_marks_that_mean_nothing_are_found(tmp_path: Path) -> None:
    package, tests = tmp_path / "fedtrees", tmp_path / "tests"
    package.mkdir()
    tests.mkdir()
    (package / "a.py").write_text('class A:\n    """A.\n\n    Law: it\n    holds.\n\n    More.\n    """\n')
    (package / "b.py").write_text('def b():\n    """B.\n\n    Law: so does this."""\n')
    (tests / "test_a.py").write_text("# law: A, C\n@mark\ndef test_one(): ...\n# law: b\n")
    stated, wrong = laws_index.indexed(tmp_path)
    assert [(law.name, law.text) for law in stated] == [
        ("fedtrees.a.A", "it holds."),
        ("fedtrees.b.b", "so does this."),
    ]
    assert stated[0].tests == {"tests/test_a.py": ["test_one"]} and not stated[1].tests
    assert len(wrong) == 3 and "C is right above no test" in wrong[0] and "b: no test holds this law" in wrong[2]
    assert "**`A`**: it holds." in laws_index.page(stated)


def test_the_citation_is_of_this_version() -> None:
    cited = dict(re.findall(r"^([\w-]+): (.+)$", text_of("CITATION.cff"), re.M))
    assert cited["version"] == PROJECT["project"]["version"] and cited["license"] == PROJECT["project"]["license"]
    assert "://" not in text_of("CITATION.cff")
