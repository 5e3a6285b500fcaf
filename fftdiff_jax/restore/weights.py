"""Weights as one file: what a finished restorer needs, without pickle and without Orbax.

A safetensors file holds the EMA parameters, their names joined by "/", and in its metadata the
configuration as JSON and a note on where the weights come from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from jaxtyping import PyTree

from fftdiff_jax import config as configuration
from fftdiff_jax.config import Config
from fftdiff_jax.errors import UserError
from fftdiff_jax.files import parse_json, replacing
from fftdiff_jax.method.method import make_method
from fftdiff_jax.method.unet import count_parameters
from fftdiff_jax.ranges import shown

SUFFIX = ".safetensors"
FOLDER = "checkpoints"  # of a run, where Orbax writes
PRETRAINED = "pretrained/rain.safetensors"  # inside the package
MOST_PARAMETERS = 1_000_000_000  # of a network, from elsewhere or of one's own: 4 GB of memory
_TYPES = {"F16": "float16", "F32": "float32"}  # of the numbers in a file, as safetensors says it
# What to do where weights are those of a network that this version does not build.
WAY_OUT = "leave --checkpoint out to use the weights in the box, or train again"


def save_weights(
    path: Path, params: PyTree, config: Config, note: str = "", dtype: str = "float16"
) -> None:
    """Writes parameters, rounded to `dtype` ("float16" or "float32"), and their configuration.

    Raises:
      UserError: a parameter is not finite, or not any more once it is rounded; another `dtype`; or
        the file cannot be written.
    """
    from safetensors import numpy as safetensors

    if dtype not in _TYPES.values():
        raise UserError(f"dtype {dtype!r} is none that weights are saved in; float16 or float32")
    require_finite(params, str(path))
    flat = traverse_util.flatten_dict(params, sep="/")
    with np.errstate(over="ignore"):  # which is looked for below
        arrays = {name: np.ascontiguousarray(leaf, np.dtype(dtype)) for name, leaf in flat.items()}
    require_finite(arrays, f"{path}: in {dtype} (--dtype=float32 is wider)")
    about = {"config": json.dumps(configuration.to_dict(config)), "note": note}
    with replacing(path) as temporary:
        # Not save_file: it makes files that only their owner may read.
        temporary.write_bytes(safetensors.save(arrays, about))


def read_weights(path: Path) -> tuple[PyTree, Config]:
    """The float32 parameters and the configuration of a file that `save_weights` wrote.

    Names, shapes and types are compared with what the configuration builds before any number is
    read, so that a file from elsewhere cannot ask for more memory than its network takes.

    Raises:
      UserError: there is no such file, or it is none of these, damaged, or of another version.
    """
    from safetensors import safe_open

    if not path.is_file():
        raise UserError(f"{path}: there is no such file of weights")
    try:
        with safe_open(path, framework="numpy") as file:
            config = _config_of(file.metadata() or {}, path)
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            found = {name: _shape_of(part, f"{path}: {name}") for name, part in parts.items()}
            _require_known(found, config, path)
            flat = {name: file.get_tensor(name).astype(np.float32) for name in parts}
    except UserError:
        raise
    except Exception as error:  # whatever a damaged file makes the library raise
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise UserError(f"{path}: the weights cannot be read ({reason})") from error
    require_finite(flat, str(path))
    return traverse_util.unflatten_dict(flat, sep="/"), config


def _config_of(about: Mapping[str, str], path: Path) -> Config:
    if "config" not in about:
        raise UserError(f"{path}: the weights cannot be read (their configuration is missing)")
    try:
        values = parse_json(about["config"], "its configuration")
    except UserError as error:
        raise UserError(f"{path}: the weights cannot be read ({error})") from error
    try:
        return configuration.from_saved(values)
    except UserError as error:
        raise UserError(f"{path}: written by another version ({error}); {WAY_OUT}") from error


def _require_known(found: PyTree, config: Config, path: Path) -> None:
    expected = abstract_params(config, str(path))
    try:
        require_same_tree(found, expected, str(path))
    except UserError as error:
        raise UserError(f"{error}; {WAY_OUT}") from error


def _shape_of(part: Any, where: str) -> jax.ShapeDtypeStruct:
    kind = part.get_dtype()
    if kind not in _TYPES:
        raise UserError(f"{where} is of the type {kind}; weights are {' or '.join(_TYPES)}")
    return jax.ShapeDtypeStruct(tuple(part.get_shape()), _TYPES[kind])


def pretrained_path() -> Path:
    """Where the weights that come with the package lie."""
    return Path(__file__).parent / PRETRAINED


def abstract_params(config: Config, where: str) -> PyTree:
    """Shapes of the parameters that a configuration builds, without building them.

    Raises:
      UserError: there are more than `MOST_PARAMETERS`.
    """
    shapes = make_method(config).abstract_params()
    count = count_parameters(shapes)
    if count > MOST_PARAMETERS:
        raise UserError(
            f"{where}: its network has {count:,} parameters; at most {MOST_PARAMETERS:,} are "
            "built; lower model.widths or model.blocks"
        )
    return shapes


def require_finite(params: PyTree, where: str) -> None:
    """Raises `UserError` with the first parameter that has NaN or an infinity in it."""
    for name, leaf in traverse_util.flatten_dict(params, sep="/").items():
        if not np.isfinite(leaf).all():
            raise UserError(f"{where}: {name} is not finite; these weights restore no photo")


def require_same_tree(params: PyTree, expected: PyTree, where: str) -> None:
    """Raises `UserError` with the first name or shape in which two trees of parameters differ."""
    found, wanted = (traverse_util.flatten_dict(tree, sep="/") for tree in (params, expected))
    for name, leaf in wanted.items():
        if name not in found:
            raise UserError(f"{where}: has no {name}; it is of another version or configuration")
        if found[name].shape != leaf.shape:
            raise UserError(
                f"{where}: {name} has the shape {found[name].shape}, the configuration wants "
                f"{leaf.shape}"
            )
    extra = sorted(found.keys() - wanted.keys())
    if extra:
        raise UserError(f"{where}: {shown(extra[0])} has no place in this version or configuration")
