"""Configuration files on the command line: --config=FILE.py and --config.FIELD=VALUE."""

from __future__ import annotations

import difflib
import importlib.util
import sys
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

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
    config = _read(path)
    # ml_collections checks names and types, but sets fields in place: the frozen tree goes through
    # a ConfigDict and back.
    values = flags.FlagValues()
    tree = ConfigDict(configuration.to_dict(config))
    config_flags.DEFINE_config_dict("config", tree, flag_values=values)
    for word in overrides:
        if "=" not in word:
            raise UserError(f"{word}: an override looks like --config.training.steps=100")
        try:
            values(["config", "--" + word.lstrip("-")])
        except (flags.Error, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{word}: {_reason(word, error, tree)}") from error
    return configuration.from_dict(tree.to_dict())


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


def _reason(word: str, error: Exception, tree: ConfigDict) -> str:
    """One line: the nearest field for a wrong name, the expected type for a wrong value."""
    group: object = tree
    *parents, _ = names = word.lstrip("-").split("=")[0].split(".")[1:]
    for name, full in zip(names, range(len(names)), strict=True):
        if not isinstance(group, ConfigDict) or name not in group:
            known = list(group.keys()) if isinstance(group, ConfigDict) else []
            near = difflib.get_close_matches(name, known, n=1)
            where = ".".join(["config", *parents[:full]])
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            return f"{where} has no field {name}; {hint}"
        group = group[name]
    return f"expected {type(group).__name__} like {group!r} ({str(error).splitlines()[0]})"
