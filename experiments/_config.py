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

CONFIGS = Path(__file__).parent / "configs"


def split_overrides(argv: list[str]) -> tuple[list[str], list[str]]:
    """Parts `--config.FIELD=VALUE` from all other arguments."""
    mine = [word for word in argv if word.lstrip("-").startswith("config.")]
    return [word for word in argv if word not in mine], mine


def load_config(path: str, overrides: list[str]) -> Config:
    """Runs a configuration file's get_config() and applies the overrides.

    Args:
      path: a file, or the bare name of one in experiments/configs.
      overrides: words like --config.training.steps=100.

    Raises:
      UserError: no such file, no get_config in it, or an override that does not fit.
    """
    tree = configuration.to_dict(_read(path))
    for word in overrides:
        name, equals, text = word.lstrip("-").partition("=")
        if not equals:
            raise UserError(f"{word}: an override looks like --config.training.steps=100")
        _assign(tree, name.split(".")[1:], text, word)
    return configuration.from_dict(tree)


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
    except (ValueError, SyntaxError):
        tree[field] = text


def _read(path: str) -> Config:
    file = Path(path)
    if not file.exists() and (CONFIGS / f"{file.stem}.py").exists():
        file = CONFIGS / f"{file.stem}.py"
    if not file.is_file():
        known = ", ".join(sorted(p.stem for p in CONFIGS.glob("[a-z]*.py")))
        near = difflib.get_close_matches(file.stem, known.split(", "), n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {known}"
        raise UserError(f"--config {path}: there is no such file; {hint}")
    spec = importlib.util.spec_from_file_location(f"config_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise UserError(f"--config {path}: is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        config = module.get_config()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"--config {path}: {type(error).__name__}: {error}") from error
    if not isinstance(config, Config):
        raise UserError(f"--config {path}: get_config() must return a fftdiff_jax.config.Config")
    return config
