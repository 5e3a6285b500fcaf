"""What several verbs share: flags, restorers, manifests, places to write to, JAX."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags, logging

from fftdiff_jax.errors import UserError

if TYPE_CHECKING:
    from fftdiff_jax.config import Config
    from fftdiff_jax.data.manifest import Manifest
    from fftdiff_jax.restore.restorer import Restorer

# What a JAX with support for NVIDIA GPUs brings along.
_CUDA_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin")
_NVIDIA_DRIVER = "/proc/driver/nvidia/version"

flags.disclaim_key_flags()  # those below belong to the verb that calls for them


def define_output(what: str, default: str | None = None) -> flags.FlagHolder[str | None]:
    """--output, or -o."""
    return flags.DEFINE_string("output", default, what, short_name="o")


def define_checkpoint() -> flags.FlagHolder[str | None]:
    """--checkpoint of the verbs that restore."""
    return flags.DEFINE_string(
        "checkpoint",
        None,
        "a run's folder, one of its checkpoints, or a file of weights; left out: the weights in "
        "the box",
    )


def define_compilation_cache() -> flags.FlagHolder[str]:
    """--compilation_cache of the verbs that compile."""
    return flags.DEFINE_string(
        "compilation_cache",
        os.environ.get("JAX_COMPILATION_CACHE_DIR", "~/.cache/fftdiff_jax/xla"),
        "compiled programs are kept here between runs; empty: not at all",
    )


def define_mirror() -> flags.FlagHolder[bool | None]:
    """--mirror of the verbs that restore."""
    return flags.DEFINE_bool(
        "mirror",
        None,
        "the first estimate is the mean of two, one of the photo mirrored: better, in twice the "
        "time; left out: the weights' own (those in the box: yes)",
    )


def define_realism() -> flags.FlagHolder[float | None]:
    """--realism of the verbs that draw."""
    return flags.DEFINE_float(
        "realism",
        None,
        "how far a draw goes from the best photo, from 0 (stays) to 1 (a photo that may be true)",
        0.0,
        1.0,
    )


def define_shard() -> flags.FlagHolder[str | None]:
    """--shard of the verbs whose photos several processes share."""
    return flags.DEFINE_string(
        "shard",
        None,
        "K/N, K from 0 to N-1: this process does the K-th of N parts, and leaves alone what is "
        "done; the part that ends last writes the sum",
    )


def draws_asked(draws: int | None, *about_draws: object) -> int | None:
    """What --draws says; a flag that is about draws asks for one where it is left out."""
    asked = any(value is not None for value in about_draws)
    return 1 if draws is None and asked else draws


def this_python() -> str:
    """How to call this Python again from here: the environment may not be activated."""
    here = Path(sys.executable)
    return str(here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here)


def require(name: str, value: str | None) -> str:
    """The value of a flag; `UserError` when there is none."""
    if not value:
        raise UserError(f"--{name} is missing (see --help)")
    return value


def restorer_opener(checkpoint: str | None) -> Callable[[], Restorer]:
    """Checks what --checkpoint says at once, and opens it later: JAX takes seconds to start.

    Without one, the weights that ship with the package are opened.

    Raises:
      UserError: there is no such checkpoint.
    """
    if checkpoint and not Path(checkpoint).expanduser().exists():
        raise UserError(f"{checkpoint}: there is no such checkpoint; give a run's folder")
    return lambda: open_restorer(checkpoint)


def open_restorer(checkpoint: str | None) -> Restorer:
    """Opens a run's folder or a file of weights; without one, what ships with the package.

    Imports JAX: call `prepare_jax` before.

    Raises:
      UserError: no complete checkpoint there, or one of another version.
    """
    from fftdiff_jax.restore.restorer import Restorer

    if checkpoint:
        return Restorer.from_checkpoint(Path(checkpoint).expanduser())
    return Restorer.pretrained()


def read_pairs(path: str, split: str | None = None) -> Manifest:
    """Reads a manifest by its path, or the embedded one by the name "embedded"."""
    from fftdiff_jax.config import DataConfig
    from fftdiff_jax.data.sources.open import open_manifest

    return open_manifest(DataConfig(manifest=path), split)


def require_writable(flag: str, path: str, suffixes: tuple[str, ...] = ()) -> Path:
    """The path of a file or folder that can be written, known before the work and not after it.

    Raises:
      UserError: nothing can be made there, or the suffix is none of `suffixes`.
    """
    target = Path(path).expanduser().absolute()
    if suffixes and target.suffix.lower() not in suffixes:
        raise UserError(f"--{flag}={path}: the name must end in {', '.join(suffixes)}")
    nearest = next(place for place in (target, *target.parents) if place.exists())
    if nearest != target and not nearest.is_dir():
        raise UserError(f"--{flag}={path}: {nearest} is a file, not a folder; choose another place")
    if not os.access(nearest, os.W_OK):
        raise UserError(f"--{flag}={path}: no permission to write in {nearest}; choose another")
    return target


def require_installed(*modules: str) -> None:
    """Raises ModuleNotFoundError for a package that is missing: before the work, not within it."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)


def prepare_jax(compilation_cache: str) -> None:
    """Sets up what must stand before JAX's first use: quiet logs and the compilation cache.

    Raises:
      UserError: JAX_PLATFORMS asks for an NVIDIA GPU, and this JAX is built without.
    """
    logging.set_verbosity(logging.ERROR)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    _look_for_gpu()
    import jax

    if compilation_cache:
        jax.config.update("jax_compilation_cache_dir", os.path.expanduser(compilation_cache))
        # Small programs too: a run compiles dozens of them before its first step.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def share_cores(*recipes: Config, devices: int = 0) -> None:
    """Makes CPU devices for training before JAX's first use; 0: as many as cores and batch allow.

    Does nothing where XLA_FLAGS or Slurm have said how many devices there are. Other devices than
    the CPU are as many as before.
    """
    if "host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    if os.environ.get("SLURM_STEP_NUM_TASKS", "1") != "1":
        return
    import jax

    from fftdiff_jax.training.cluster.cores import choose_devices, count_cores

    jax.config.update("jax_num_cpu_devices", devices or choose_devices(recipes, count_cores()))


def has_cuda_build() -> bool:
    """Whether this JAX can compile for NVIDIA GPUs, be there one or not."""
    return any(importlib.util.find_spec(name) for name in _CUDA_PLUGINS)


def _look_for_gpu() -> None:
    if has_cuda_build():
        return
    asked = os.environ.get("JAX_PLATFORMS", "")
    if {"cuda", "gpu"} & set(asked.split(",")):
        raise UserError(
            f"JAX_PLATFORMS={asked} asks for a GPU, but this JAX has no CUDA build; "
            "pip install 'fftdiff-jax[cuda]', or JAX_PLATFORMS=cpu"
        )
    if not asked and os.path.exists(_NVIDIA_DRIVER):
        print(
            "note: there is an NVIDIA GPU, but this JAX has no CUDA build and runs on the CPU; "
            "pip install 'fftdiff-jax[cuda]'",
            file=sys.stderr,
        )
