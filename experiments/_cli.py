"""What every entry point shares: absl flags, one-line errors, exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable

from absl import app

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


def _fail(message: str, code: int = 1) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
