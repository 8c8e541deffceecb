"""House rules that no linter knows."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("git10m", "text2earth")
MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION, MOST_PARAMETERS = 500, 70, 8

FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
NAMES = [str(path.relative_to(ROOT)) for path in FILES]
"""Names of the tests; a folder of the machine is none of their business."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def load(path: Path) -> ModuleType:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    return importlib.import_module(name)


def functions(path: Path) -> list[Function]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_module_says_what_it_is_and_what_it_offers(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "a module begins with a docstring"
    if path.name != "__main__.py" and len(tree.body) > 1:
        assigned = {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        assert assigned & {"__all__", "__version__"}, "a module lists its public names in __all__"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_public_name_is_there_and_documented(path: Path):
    module = load(path)
    names = getattr(module, "__all__", [])
    assert len(names) == len(set(names))
    source = path.read_text(encoding="utf-8")
    for name in names:
        value = getattr(module, name)
        if inspect.isfunction(value) or inspect.isclass(value):
            assert own_docstring(value), f"{name} has no docstring"
            if inspect.isclass(value):
                undocumented = [method for method in own_methods(value) if not own_docstring(getattr(value, method))]
                assert undocumented == [], f"{name} has methods without docstrings"
        elif name in assigned_names(source):
            assert is_explained(source, name), f"{name} is followed by no docstring"


def own_docstring(value: object) -> str | None:
    """Docstring of a value itself: dataclasses write one, and classes inherit one, that says nothing."""
    text = value.__doc__ if not inspect.isclass(value) else vars(value).get("__doc__")
    name = getattr(value, "__name__", "")
    return None if text is None or text.startswith(f"{name}(") else text


def own_methods(value: type) -> list[str]:
    return [
        name
        for name, member in vars(value).items()
        if not name.startswith("_") and isinstance(member, classmethod | staticmethod | property | type(own_methods))
    ]


def assigned_names(source: str) -> set[str]:
    found = set()
    for node in ast.parse(source).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def is_explained(source: str, name: str) -> bool:
    """Whether a constant is followed by a docstring, or stands in a group that is, or is an alias of a type."""
    body = ast.parse(source).body
    for i, node in enumerate(body):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if not any(isinstance(target, ast.Name) and target.id == name for target in targets):
            continue
        for later in body[i + 1 :]:
            if isinstance(later, ast.Expr) and isinstance(later.value, ast.Constant):
                return True
            if not isinstance(later, ast.Assign | ast.AnnAssign):
                break
        return False
    return True


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_files_and_functions_stay_short(path: Path):
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= MOST_LINES_OF_A_FILE, f"{lines} lines: make the module a folder with the same public names"
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in functions(path)
        if node.end_lineno is not None and node.end_lineno - node.lineno + 1 > MOST_LINES_OF_A_FUNCTION
    ]
    assert long == []


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_parameters_are_few(path: Path):
    """Over seven, a dataclass is missing; the commands' own functions have one parameter a flag."""
    if path.name == "cli.py":
        pytest.skip("a command's parameters are its flags")
    many = [
        f"{node.name}({len(found)})"
        for node in functions(path)
        if len(found := [arg.arg for arg in _arguments(node) if arg.arg not in {"self", "cls"}]) >= MOST_PARAMETERS
    ]
    assert many == []


def _arguments(node: Function) -> list[ast.arg]:
    return [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_no_room_is_a_lumber_room(path: Path):
    forbidden = {"utils", "util", "helpers", "common", "base", "misc"}
    assert not forbidden & set(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_nothing_executable_is_read_from_data(path: Path):
    """Contract 9: no pickle, no YAML tags, no code out of a checkpoint."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"^\s*(import|from) (pickle|shelve|marshal|dill|cloudpickle|joblib|yaml)\b", text, re.M)
    assert not re.search(r"trust_remote_code\s*=\s*True|weights_only\s*=\s*False|\beval\(|\bexec\(", text)


def test_the_list_of_errors_is_drawn_whole():
    """The tree in the docstring holds every error, under its parent."""
    for package in PACKAGES:
        module = importlib.import_module(f"{package}.errors")
        drawn = module.__doc__ or ""
        for name in module.__all__:
            assert name in drawn, f"{name} is missing in the tree of {package}.errors"
        defined = {name for name, value in vars(module).items() if inspect.isclass(value)}
        assert defined == set(module.__all__)


def test_the_tests_run_with_the_network_closed():
    import socket

    import pytest_socket

    with pytest.raises(pytest_socket.SocketBlockedError if "linux" not in sys.platform else Exception, match=r"."):
        socket.create_connection(("192.0.2.1", 80), timeout=0.1)
