"""docs/security.md says what is true: every test that it names exists, and no requirement is passed over."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs/security.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d+\.\d+\.\d+) \| ([^|]+) \| (met|not met|does not apply)(?:: ([^|]+))? \|$", re.MULTILINE)
TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")
SOURCES = [path for path in (ROOT / "services").rglob("*.py") if "_pb2" not in path.name]

LEVELS_1_AND_2 = {
    "1.1": 2, "1.2": 9, "1.3": 11, "1.4": 3, "1.5": 2,
    "2.1": 3, "2.2": 3, "2.3": 4, "2.4": 1,
    "6.1": 3, "6.2": 12, "6.3": 4, "6.4": 4, "6.5": 5, "6.6": 3, "6.8": 4,
    "7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 2, "7.6": 2,
    "8.1": 2, "8.2": 3, "8.3": 1, "8.4": 1,
    "9.1": 3, "9.2": 4,
}  # fmt: skip
"""How many requirements each section has up to level 2: they come first, and 6.7 has none."""


def test_every_requirement_is_judged_once() -> None:
    numbers = [number for number, *_ in ROW.findall(DOCUMENT)]
    expected = {f"{section}.{number}" for section, count in LEVELS_1_AND_2.items() for number in range(1, count + 1)}
    assert sorted(numbers) == sorted(expected)
    assert len(re.findall(r"^\| \d", DOCUMENT, re.MULTILINE)) == len(numbers)


def test_what_is_met_names_a_test_and_what_is_not_says_why() -> None:
    for number, _, verdict, reason in ROW.findall(DOCUMENT):
        assert reason, number
        if verdict == "met":
            assert TEST.search(reason), number


def test_every_test_that_is_named_exists() -> None:
    named = TEST.findall(DOCUMENT)
    assert named
    assert [f"{path}::{name}" for path, name in named if name not in _tests_of(path)] == []


@cache
def _tests_of(path: str) -> frozenset[str]:
    file = ROOT / "tests" / path
    if not file.is_file():
        return frozenset()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))


# -- what no test of one part can show -----------------------------------------------------------------------------


def _calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_input_becomes_code_or_a_command(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    imported |= {(node.module or "").partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported.isdisjoint({"pickle", "marshal", "shelve", "xml", "lxml", "ldap3", "jinja2", "yaml"})
    for name, call in _calls(tree):
        assert name not in {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}, call.lineno
        assert all(keyword.arg != "shell" for keyword in call.keywords), call.lineno


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_input_becomes_part_of_a_statement(path: Path) -> None:
    """SQL in words is constant, or made of the name of a room."""
    for name, call in _calls(ast.parse(path.read_text(encoding="utf-8"))):
        if name in {"text", "sa.text", "sqlalchemy.text", "literal_column"} and call.args:
            for part in ast.walk(call.args[0]):
                if isinstance(part, ast.FormattedValue):
                    assert ast.unparse(part.value) == "self.room", (path, call.lineno)
            assert isinstance(call.args[0], ast.Constant | ast.JoinedStr | ast.Name), (path, call.lineno)
