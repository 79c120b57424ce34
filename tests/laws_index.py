"""The laws that docstrings state, and the tests that hold each.

    python tests/laws_index.py > LAWS.md

A law is a paragraph of a docstring in the package that begins with ``Law:``. A test that holds one says so in a comment
right above it, ``# law: Query``: the name of the class or function, with as much of its module before it as tells it
from others (``# law: model.Model``).
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
MARK = re.compile(r"# law: (.+)")
TEST = re.compile(r"def (test_\w*)")


@dataclass
class Law:
    """A law, and the tests that hold it, by file."""

    module: str
    owner: str
    text: str
    tests: dict[str, list[str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name in full."""
        return f"{self.module}.{self.owner}"


def laws(root: Path = ROOT) -> list[Law]:
    """All laws of the package, by module and line."""
    found = []
    for path in sorted((root / "fedtrees").rglob("*.py")):
        module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        found += [Law(module, owner, text) for owner, text in _stated(ast.parse(path.read_text()), "")]
    return found


def _stated(node: ast.AST, inside: str) -> Iterator[tuple[str, str]]:
    """The laws of the classes and functions of a module, each with the dotted name of what states it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            owner = f"{inside}{child.name}"
            for paragraph in re.split(r"\n\s*\n", ast.get_docstring(child) or ""):
                if "Law: " in paragraph:
                    yield owner, " ".join(paragraph.partition("Law: ")[2].split())
            yield from _stated(child, f"{owner}.")


def marks(root: Path = ROOT) -> Iterator[tuple[str, str, str]]:
    """What tests say of laws: the file, the test, and the law's name as it stands there."""
    for path in sorted((root / "tests").rglob("test_*.py")):
        waiting: list[str] = []
        for line in (*path.read_text().splitlines(), "def test_()"):  # a mark that no test follows is that one's
            if mark := MARK.fullmatch(line.strip()):
                waiting += [name.strip() for name in mark[1].split(",")]
            elif test := TEST.match(line.strip()):
                yield from ((path.relative_to(root).as_posix(), test[1], name) for name in waiting)
                waiting = []


def indexed(root: Path = ROOT) -> tuple[list[Law], list[str]]:
    """The laws with their tests, and what is wrong with the marks."""
    stated, wrong = laws(root), []
    wrong += [f"two laws of {name}: join them" for name, n in Counter(law.name for law in stated).items() if n > 1]
    for path, test, name in marks(root):
        meant = [law for law in stated if law.name.endswith(f".{name}")]
        if len(meant) == 1 and test != "test_":
            meant[0].tests.setdefault(path, []).append(test)
        else:
            wrong.append(f"{path}, {test}: # law: {name} is right above no test, or the name of {len(meant)} laws")
    wrong += [
        f"{law.name}: no test holds this law; mark one with `# law: {law.owner}`" for law in stated if not law.tests
    ]
    return stated, wrong


def page(stated: list[Law]) -> str:
    """The index, as Markdown."""
    lines = [
        "# Laws",
        "",
        "What holds for all input: the properties that docstrings state with `Law:`, by module, each with the tests",
        "that hold it. Made by `python tests/laws_index.py > LAWS.md`; a test keeps it complete.",
    ]
    module = ""
    for law in stated:
        if law.module != module:
            module = law.module
            lines += ["", f"## `{module}`"]
        tests = "; ".join(f"`{path}`: {', '.join(f'`{test}`' for test in own)}" for path, own in law.tests.items())
        lines += ["", f"**`{law.owner}`**: {law.text}  ", f"Held by {tests}."]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Print the index; what is wrong goes to the standard error."""
    stated, wrong = indexed()
    sys.stdout.write(page(stated))
    sys.stderr.writelines(f"{each}\n" for each in wrong)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
