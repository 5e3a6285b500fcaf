"""Weights as one file: what a finished restorer needs, without pickle and without Orbax.

A safetensors file holds the EMA parameters, their names joined by "/", and in its metadata the
configuration as JSON and a note on where the weights come from.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from flax import traverse_util
from jaxtyping import PyTree

from fftdiff_jax import config as configuration
from fftdiff_jax.config import Config
from fftdiff_jax.errors import UserError
from fftdiff_jax.files import replacing

SUFFIX = ".safetensors"
FOLDER = "checkpoints"  # of a run, where Orbax writes
PRETRAINED = "pretrained/rain.safetensors"  # inside the package
# What to do where weights are those of a network that this version does not build.
WAY_OUT = "leave --checkpoint out to use the weights in the box, or train again"


def save_weights(
    path: Path, params: PyTree, config: Config, note: str = "", dtype: str = "float16"
) -> None:
    """Writes parameters, rounded to `dtype`, and their configuration to one file."""
    from safetensors import numpy as safetensors

    flat = traverse_util.flatten_dict(params, sep="/")
    arrays = {name: np.ascontiguousarray(leaf, np.dtype(dtype)) for name, leaf in flat.items()}
    about = {"config": json.dumps(configuration.to_dict(config)), "note": note}
    with replacing(path) as temporary:
        # Not save_file: it makes files that only their owner may read.
        temporary.write_bytes(safetensors.save(arrays, about))


def read_weights(path: Path) -> tuple[PyTree, Config]:
    """The float32 parameters and the configuration of a file that `save_weights` wrote.

    Raises:
      UserError: there is no such file, or it is none of these or damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(f"{path}: there is no such file of weights")
    try:
        with safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            flat = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
        config = configuration.from_saved(json.loads(about["config"]))
    except (SafetensorError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: the weights cannot be read ({reason})") from error
    except UserError as error:
        raise UserError(f"{path}: written by another version ({error}); {WAY_OUT}") from error
    return traverse_util.unflatten_dict(flat, sep="/"), config


def pretrained_path() -> Path:
    """Where the weights that come with the package lie."""
    return Path(__file__).parent / PRETRAINED


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
        raise UserError(f"{where}: {extra[0]} has no place in this version or configuration")
