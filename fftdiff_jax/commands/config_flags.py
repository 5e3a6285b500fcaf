"""Configuration files on the command line: --config=FILE.py and --config.FIELD=VALUE."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from fftdiff_jax import config as configuration
from fftdiff_jax.config import Config
from fftdiff_jax.errors import UserError

RECIPES = Path(__file__).parents[1] / "recipes"


def split_overrides(argv: list[str]) -> tuple[list[str], list[str]]:
    """Parts `--config.FIELD=VALUE`, or `--config.FIELD VALUE`, from all other arguments."""
    others: list[str] = []
    mine: list[str] = []
    words = iter(argv)
    for word in words:
        if not (word.startswith("-") and word.lstrip("-").startswith("config.")):
            others.append(word)
            continue
        if "=" not in word:
            value = next(words, None)
            word = word if value is None else f"{word}={value}"
        mine.append(word)
    return others, mine


def load_config(path: str, overrides: list[str]) -> Config:
    """Runs a configuration file's get_config() and applies the overrides.

    Args:
      path: a file, or the bare name of one of fftdiff_jax/recipes.
      overrides: words like --config.training.steps=100.

    Raises:
      UserError: no such file, no get_config in it, or an override that does not fit.
    """
    return override(_read(path), overrides)


def override(config: Config, overrides: list[str]) -> Config:
    tree = configuration.to_dict(config)
    for word in overrides:
        name, equals, text = word.lstrip("-").partition("=")
        if not equals:
            raise UserError(f"{word}: an override looks like --config.training.steps=100")
        _require_place(name.split(".", 1)[1])
        _assign(tree, name.split(".")[1:], text, word)
    return configuration.from_dict(tree)


def load_sweep(path: str, overrides: list[str]) -> dict[str, Config]:
    """Runs a file's get_sweep() and applies the overrides to each of its configurations.

    Raises:
      UserError: no such file, no get_sweep in it, or an override that does not fit.
    """
    recipes = _execute(Path(path), f"--sweep {path}", "get_sweep")
    if not isinstance(recipes, dict) or not all(isinstance(r, Config) for r in recipes.values()):
        raise UserError(f"--sweep {path}: get_sweep() must return a dict of names and Configs")
    return {name: override(recipe, overrides) for name, recipe in recipes.items()}


def _require_place(path: str) -> None:
    """Raises `UserError` for a field that is known, but in another group; it names the place."""
    places = _places(configuration.to_dict(Config()))
    elsewhere = [p for p in places if p.rpartition(".")[2] == path.rpartition(".")[2]]
    if path in places or not elsewhere:
        return
    elsewhere.sort(key=lambda p: -difflib.SequenceMatcher(None, p, path).ratio())
    if difflib.SequenceMatcher(None, elsewhere[0], path).ratio() > 0.9:
        elsewhere = elsewhere[:1]
    hint = " or ".join(f"--config.{p}" for p in elsewhere[:3])
    raise UserError(f"config.{path}: there is no such field; did you mean {hint}?")


def places_of(field: str) -> list[str]:
    """The dotted names of the fields that are called so."""
    return [p for p in _places(configuration.to_dict(Config())) if p.rpartition(".")[2] == field]


def _places(tree: dict[str, Any], group: str = "") -> list[str]:
    """The dotted names of all fields."""
    found = []
    for name, value in tree.items():
        inner = isinstance(value, dict)
        found += _places(value, f"{group}{name}.") if inner else [f"{group}{name}"]
    return found


def _assign(tree: dict[str, Any], names: list[str], text: str, word: str) -> None:
    """Sets one field; `from_dict` checks names and types of the whole tree afterwards."""
    *groups, field = names
    for name in groups:
        group = tree.setdefault(name, {})
        if not isinstance(group, dict):
            raise UserError(f"{word}: {name} is a field, not a group of fields")
        tree = group
    if isinstance(tree.get(field), str):
        tree[field] = text
        return
    try:
        tree[field] = ast.literal_eval({"true": "True", "false": "False"}.get(text, text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        tree[field] = text


def _read(path: str) -> Config:
    file = Path(path)
    if not file.is_file() and (RECIPES / f"{file.stem}.py").exists():
        file = RECIPES / f"{file.stem}.py"
    if not file.is_file():
        known = ", ".join(sorted(p.stem for p in RECIPES.glob("[a-z]*.py")))
        near = difflib.get_close_matches(file.stem, known.split(", "), n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {known}"
        raise UserError(f"--config {path}: there is no such file; {hint}")
    config = _execute(file, f"--config {path}", "get_config")
    if not isinstance(config, Config):
        raise UserError(f"--config {path}: get_config() must return a fftdiff_jax.config.Config")
    return config


def _execute(file: Path, what: str, function: str) -> Any:
    """What a function of a Python file returns; whatever goes wrong in it is the user's error."""
    if not file.is_file():
        raise UserError(f"{what}: there is no such file")
    spec = importlib.util.spec_from_file_location(f"config_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise UserError(f"{what}: is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        return getattr(module, function)()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{what}: {type(error).__name__}: {error}") from error
