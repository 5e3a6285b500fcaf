"""What every entry point shares: absl flags, one-line errors, exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from absl import app, flags, logging

from fftdiff_jax.config import DataConfig
from fftdiff_jax.data.manifest import Manifest, read_manifest
from fftdiff_jax.errors import UserError


def run(main: Callable[[], int | None]) -> None:
    """Parses the flags, calls `main` and turns a `UserError` into one line and exit code 1."""

    def guarded(argv: list[str]) -> None:
        if len(argv) > 1:
            _fail(f"unexpected argument {argv[1]!r}; flags look like --name=value (see --help)")
        try:
            code = main()
        except UserError as error:
            _fail(str(error))
        except KeyboardInterrupt:
            _fail("interrupted", code=130)
        else:
            sys.exit(code or 0)

    asked_for_help = any(word.lstrip("-").startswith("help") for word in sys.argv[1:])
    try:
        app.run(guarded, flags_parser=_parse)
    except SystemExit as stop:
        # absl counts help that was asked for as a failure.
        sys.exit(0 if asked_for_help else stop.code)


def _parse(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        _fail(" ".join(str(error).split()) + " (see --help)")


def require(name: str, value: str | None) -> str:
    """The value of a flag; `UserError` when there is none."""
    if not value:
        raise UserError(f"--{name} is missing (see --help)")
    return value


def read_pairs(path: str, split: str | None = None) -> Manifest:
    """Reads a manifest by its path, or the embedded one by the name "embedded"."""
    if path == "embedded":
        from fftdiff_jax.data.embedded import embedded_manifest
        from fftdiff_jax.data.sources import cache_folder

        path = str(embedded_manifest(cache_folder(DataConfig())))
    return read_manifest(path, split)


def prepare_jax(compilation_cache: str) -> None:
    """Sets up what must stand before JAX's first use: quiet logs and the compilation cache."""
    logging.set_verbosity(logging.ERROR)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import jax

    if compilation_cache:
        jax.config.update("jax_compilation_cache_dir", os.path.expanduser(compilation_cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _fail(message: str, code: int = 1) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
