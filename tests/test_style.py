"""House rules that no linter knows."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import socket
import types
from pathlib import Path
from types import ModuleType

import pytest
import pytest_socket

ROOT = Path(__file__).parents[1]
PACKAGES = ("git10m", "text2earth")
MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION, MOST_PARAMETERS = 500, 70, 7

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
    for name in names:
        value = getattr(module, name)
        if inspect.isfunction(value) or inspect.isclass(value):
            assert own_docstring(value), f"{name} has no docstring"
        if inspect.isclass(value):
            undocumented = [method for method in own_methods(value) if not own_docstring(getattr(value, method))]
            assert undocumented == [], f"{name} has methods without docstrings"


def own_docstring(value: object) -> str | None:
    """Docstring of a value itself: classes inherit one, and dataclasses write one, that says nothing."""
    if not inspect.isclass(value):
        return value.__doc__
    text = vars(value).get("__doc__")
    return None if text is None or text.startswith(f"{value.__name__}(") else text


def own_methods(value: type) -> list[str]:
    kinds = classmethod | staticmethod | property | types.FunctionType
    return [name for name, member in vars(value).items() if not name.startswith("_") and isinstance(member, kinds)]


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
    """Over seven, a dataclass is missing. A command has one a flag, what diffusers calls or reads those of its own."""
    is_command = "cli" in path.relative_to(ROOT).with_suffix("").parts
    counted = {node.name: parameters(node) for node in functions(path) if not is_command and not is_config(node)}
    many = {name: count for name, count in counted.items() if count > MOST_PARAMETERS and name != "__call__"}
    assert many == {}


def is_config(node: Function) -> bool:
    """Whether diffusers reads a function's parameters as the keys of a JSON file."""
    return any(isinstance(name, ast.Name) and name.id == "register_to_config" for name in node.decorator_list)


def parameters(node: Function) -> int:
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return len([argument for argument in every if argument.arg not in {"self", "cls"}])


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_no_room_is_a_lumber_room(path: Path):
    forbidden = {"utils", "util", "helpers", "common", "base", "misc"}
    assert not forbidden & set(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_nothing_executable_is_read_from_data(path: Path):
    """Contract 9: no pickle, no YAML tags, no code out of a checkpoint."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"^\s*(import|from) (pickle|shelve|marshal|dill|cloudpickle|joblib|yaml)\b", text, re.M)
    assert not re.search(r"trust_remote_code\s*=\s*True|weights_only\s*=\s*False|(?<![.\w])(eval|exec)\(", text)


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
    blocked = pytest.raises(pytest_socket.SocketConnectBlockedError)
    with pytest.warns(UserWarning, match=r"192\.0\.2\.1"), blocked:
        socket.create_connection(("192.0.2.1", 80), timeout=0.1)
