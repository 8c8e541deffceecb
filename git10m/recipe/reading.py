"""From a TOML file to a recipe, or to a message that says what is wrong with it."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from git10m.catalog import fill_from_catalog
from git10m.errors import RecipeError
from git10m.recipe.captions import Captions
from git10m.recipe.sources import KINDS
from git10m.recipe.tables import Recipe
from git10m.recipe.values import Table

__all__ = ["filled_toml", "load_recipe", "parse_captions", "parse_recipe", "read_toml"]


def load_recipe(path: Path, *, variables: Mapping[str, str] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        path: TOML file. Relative paths in it are taken from the file's folder.
        variables: Values of ``${NAME}``. A value that is a relative path of something that exists is meant from the
            current folder, not from the recipe's.

    Raises:
        RecipeError: If the file cannot be read, a key is unknown, a value is out of range, or a variable is missing.
    """
    return _checked(read_toml(path), name=str(path), variables=_absolute(variables or {}))


def filled_toml(path: Path, *, variables: Mapping[str, str]) -> dict[str, Any]:
    """Return what another table's file says, its variables filled as `load_recipe` fills them.

    Raises:
        RecipeError: If the file cannot be read, is not TOML, or a variable has no value.
    """
    filled: dict[str, Any] = _substitute(read_toml(path), _absolute(variables), str(path))
    return filled


def _absolute(variables: Mapping[str, str]) -> dict[str, str]:
    return {
        name: str(Path(value).absolute()) if value and Path(value).exists() else value
        for name, value in variables.items()
    }


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a recipe's file says, unchecked and with its variables unfilled.

    Raises:
        RecipeError: If the file cannot be read, or is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot read the recipe ({_reason(error)}); give the path of a TOML file") from error
    return _parsed(text, name=str(path))


def parse_recipe(text: str, *, name: str = "recipe", variables: Mapping[str, str] | None = None) -> Recipe:
    """Check the text of a recipe; see `load_recipe`. ``name`` stands in messages."""
    return _checked(_parsed(text, name=name), name=name, variables=variables or {})


def _parsed(text: str, *, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{name}: not valid TOML: {error}") from error


def _checked(raw: Mapping[str, Any], *, name: str, variables: Mapping[str, str]) -> Recipe:
    filled = _substitute(raw, dict(variables), name)
    if isinstance(filled.get("source"), list):
        filled["source"] = [fill_from_catalog(each) if isinstance(each, dict) else each for each in filled["source"]]
    try:
        return Recipe.model_validate(filled)
    except ValidationError as error:
        raise RecipeError(_explain(error, name)) from error


def parse_captions(
    raw: Mapping[str, Any], *, name: str, variables: Mapping[str, str] | None = None, layers: bool = True
) -> Captions:
    """Check the table ``captions`` of a recipe, and nothing else of it.

    Args:
        raw: The table as the file has it.
        name: Stands in messages.
        variables: Values of ``${NAME}``.
        layers: Layers of facts are read; else their variables need no value.

    Raises:
        RecipeError: As `load_recipe`.
    """
    given = dict(variables or {})
    filled = {
        key: _substitute(value, given, name) if layers or key in {"openai", "transformers", "similarity"} else value
        for key, value in raw.items()
    }
    try:
        return Captions.model_validate(filled)
    except ValidationError as error:
        said = [_explain_one({**found, "loc": ("captions", *found["loc"])}) for found in error.errors()]
        raise RecipeError("\n".join(dict.fromkeys(f"{name}: {line}" for line in said))) from error


_VARIABLE = re.compile(r"\$\{(\w+)\}")


def _substitute(value: Any, variables: dict[str, str], name: str) -> Any:
    """Fill ``${NAME}`` in every string of a nested value; ``${scenes}`` is filled by the build."""
    if isinstance(value, dict):
        return {key: _substitute(item, variables, name) for key, item in value.items()}
    if isinstance(value, list):
        return [_substitute(item, variables, name) for item in value]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        key = match.group(1)
        if key not in variables and key != "scenes":
            raise RecipeError(f"{name}: ${{{key}}} has no value; add --var {key}=VALUE")
        return variables.get(key, match.group(0))

    return _VARIABLE.sub(fill, value)


def _explain(error: ValidationError, name: str) -> str:
    """Turn pydantic's findings into lines that name the key, what was given and what was expected."""
    return "\n".join(dict.fromkeys(f"{name}: {_explain_one(dict(found))}" for found in error.errors()))


def _explain_one(found: dict[str, Any]) -> str:
    # Union members appear in a location as names of types ("tuple[int, ...]"); they say nothing to a user.
    types = {"str", *_names_of_tables(Table)}
    location = [part for i, part in enumerate(found["loc"]) if not _is_kind(found["loc"], i)]
    parts = [str(part) for part in location if re.fullmatch(r"\w+", str(part)) and part not in types]
    where = ".".join(parts) or "recipe"
    if found["type"] == "extra_forbidden":
        known = _known_keys(found["loc"][:-1])
        near = difflib.get_close_matches(parts[-1], known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return f"unknown key {where!r}; {hint}"
    if found["type"] == "union_tag_invalid":
        near = difflib.get_close_matches(found["ctx"]["tag"], KINDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(KINDS)}"
        return f"{where}.kind = {found['ctx']['tag']!r}: no such kind; {hint}"
    if found["type"] == "missing":
        return f"{where} is missing"
    message = found["msg"].removeprefix("Value error, ")
    return (
        f"{where} = {found['input']!r}: {message}"
        if parts and found["type"] != "value_error"
        else f"{where}: {message}"
    )


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    """Return the keys of the model at a location such as ``("source", 0)``."""
    model: Any = Recipe
    for i, part in enumerate(location):
        if _is_kind(location, i):
            model = KINDS[part]
        elif isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def _is_kind(location: tuple[Any, ...], i: int) -> bool:
    """Tell whether part ``i`` of a location such as ``("source", 0, "stac", "bands")`` is a kind, which is no key."""
    return i >= 2 and isinstance(location[i - 1], int) and location[i] in KINDS


def _names_of_tables(model: type[Table]) -> set[str]:
    return {model.__name__}.union(*(_names_of_tables(below) for below in model.__subclasses__()))


def _model_in(annotation: Any) -> type[Table] | None:
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _model_in(argument)) is not None:
            return found
    return None


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
