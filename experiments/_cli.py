"""What every entry point shares: absl flags, one-line errors, exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from absl import app, logging

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

    app.run(guarded)


def require(name: str, value: str | None) -> str:
    """The value of a flag; `UserError` when there is none."""
    if not value:
        raise UserError(f"--{name} is missing (see --help)")
    return value


def prepare_jax(compilation_cache: str) -> None:
    """Sets up what must stand before JAX's first use: quiet logs and the compilation cache."""
    logging.set_verbosity(logging.ERROR)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import jax

    if compilation_cache:
        jax.config.update("jax_compilation_cache_dir", os.path.expanduser(compilation_cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _fail(message: str, code: int = 1) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
