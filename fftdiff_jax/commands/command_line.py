"""What every entry point shares: absl flags, one-line errors, exit codes, restorers, JAX."""

from __future__ import annotations

import difflib
import errno
import importlib.util
import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from absl import app, flags, logging

from fftdiff_jax.errors import UserError

if TYPE_CHECKING:
    from fftdiff_jax.config import Config
    from fftdiff_jax.data.manifest import Manifest
    from fftdiff_jax.restore.restorer import Restorer

CHECKPOINT_HELP = (
    "a run's folder, one of its checkpoints, or a file of weights; left out: the weights in the box"
)
# What a JAX with support for NVIDIA GPUs brings along.
_CUDA_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin")
_NVIDIA_DRIVER = "/proc/driver/nvidia/version"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NO_SUCH_NAME = (errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR, errno.ENOTDIR)
_NO_PERMISSION = (errno.EACCES, errno.EPERM, errno.EROFS)


def run(main: Callable[[], int | None], words: list[str] | None = None) -> None:
    """Parses the flags, calls `main` and turns what users can mend into one line and exit code 1.

    Arguments that are no flags are put into `words`; without it there may be none. Ctrl-C is exit
    code 130. Anything else that is raised is a mistake of this program, and is shown whole.
    """

    def guarded(argv: list[str]) -> None:
        if words is not None:
            words[:] = argv[1:]
        elif len(argv) > 1:
            _fail(_unexpected(argv[1:]))
        try:
            code = main()
        except UserError as error:
            _fail(str(error))
        except KeyboardInterrupt:
            _fail("interrupted", code=130)
        except Exception as error:
            line = explain(error)
            if line is None:
                raise
            _fail(line)
        else:
            sys.exit(code or 0)

    # Names of files that are no valid text must not cost a run when they are printed.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.argv = [sys.argv[0], *("--help" if word == "-h" else word for word in sys.argv[1:])]
    asked_for_help = any(word.lstrip("-").startswith("help") for word in sys.argv[1:])
    try:
        app.run(guarded, flags_parser=_parse)
    except SystemExit as stop:
        # absl counts help that was asked for as a failure.
        sys.exit(0 if asked_for_help else stop.code)


def explain(error: BaseException) -> str | None:
    """One line with the way out for what the machine lacks, or None where it is something else.

    Known are memory, of the device or of the machine, disk space, permissions, and devices that
    are not there; also where another error was raised from one of these.
    """
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    for link in chain:
        text = str(link)
        if "Unable to initialize backend" in text or "Unknown backend" in text:
            reason = " ".join(text.split())[:160]
            return f"JAX finds no such device ({reason}); JAX_PLATFORMS=cpu runs without a GPU"
        if "RESOURCE_EXHAUSTED" in text or "CUDA_ERROR_OUT_OF_MEMORY" in text:
            return (
                "the device's memory is full; close other programs on it (nvidia-smi lists them), "
                "set XLA_PYTHON_CLIENT_PREALLOCATE=false where it is shared, or lower "
                "training.batch_size, data.crop_size or model.widths"
            )
        if isinstance(link, MemoryError):
            return (
                "the machine's memory is full; close other programs, or lower training.batch_size "
                "or data.workers"
            )
        known = (*_NO_ROOM, *_NO_PERMISSION, *_NO_SUCH_NAME)
        if isinstance(link, OSError) and link.errno in known:
            place = f"{str(link.filename)[:200]}: " if link.filename else ""
            way_out = "free some space or choose another place"
            if link.errno in _NO_SUCH_NAME:
                way_out = "choose another file or folder"
            if link.errno in _NO_PERMISSION:
                way_out = "choose a place of your own or change its permissions"
            return f"{place}{(link.strerror or '').lower()}; {way_out}"
    return None


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


def _look_for_gpu() -> None:
    if any(importlib.util.find_spec(name) for name in _CUDA_PLUGINS):
        return
    asked = os.environ.get("JAX_PLATFORMS", "")
    if {"cuda", "gpu"} & set(asked.split(",")):
        raise UserError(
            f"JAX_PLATFORMS={asked} asks for a GPU, but this JAX has no CUDA build; "
            "pip install -e '.[cuda]', or JAX_PLATFORMS=cpu"
        )
    if not asked and os.path.exists(_NVIDIA_DRIVER):
        print(
            "note: there is an NVIDIA GPU, but this JAX has no CUDA build and runs on the CPU; "
            "pip install -e '.[cuda]'",
            file=sys.stderr,
        )


def _parse(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        _fail(_unknown_flag(error.flagname))
    except flags.Error as error:
        text = " ".join(str(error).split()).removeprefix("flag ")
        text = re.sub(r"invalid literal for int\(\).*", "expected a whole number", text)
        text = re.sub(r"could not convert string to float.*", "expected a number", text)
        _fail(f"{text} (see --help)")


def _own_flags() -> list[str]:
    """The flags of the command that runs, without absl's own."""
    return [flag.name for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])]


def _unknown_flag(name: str) -> str:
    known = _own_flags()
    if name.startswith("config.") and "config" not in known:
        return f"there is no flag --{name}: a checkpoint has its own configuration (see --help)"
    if "config" in known:
        from fftdiff_jax.commands import config_flags

        fields = config_flags.places_of(name)
        if fields:
            return f"there is no flag --{name}; did you mean --config.{fields[0]}?"
    positive = name.removeprefix("no")
    near = difflib.get_close_matches(name, known, n=1) or difflib.get_close_matches(
        positive, known, n=1
    )
    if not near:
        return f"there is no flag --{name}; known: {', '.join('--' + flag for flag in known)}"
    prefix = "no" if name.startswith("no") and not near[0].startswith("no") else ""
    return f"there is no flag --{name}; did you mean --{prefix}{near[0]}? (see --help)"


def _unexpected(words: list[str]) -> str:
    word, known = words[0], _own_flags()
    hint = "flags look like --name=value"
    if "=" in word and word.partition("=")[0] in known:
        hint = f"did you mean --{word}?"
    elif "input" in known and os.path.exists(word):
        hint = f"did you mean --input={word}?"
        if flags.FLAGS["input"].present or len(words) > 1:
            hint = "give --input a folder, or a pattern in quotes: --input='photos/*.jpg'"
    return f"unexpected argument {word!r}; {hint} (see --help)"


def _fail(message: str, code: int = 1) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
