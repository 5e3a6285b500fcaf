"""Removes rain from photos with the weights in the box: python -m fftdiff_jax photo.jpg."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from fftdiff_jax.errors import UserError

INTERRUPTED = 130  # exit code of Ctrl-C


def main(words: list[str] | None = None) -> int:
    """Restores the photos that the words name; 1 when one could not be."""
    parser = argparse.ArgumentParser(
        prog="python -m fftdiff_jax",
        description="Removes rain from photos. Names, sizes and formats stay; the originals too.",
        epilog="More choices: python -m experiments.restore --help",
    )
    parser.add_argument("photos", nargs="+", help="photos, folders, or patterns in quotes")
    parser.add_argument("--output", default="restored", help="folder for the results: restored/")
    parser.add_argument(
        "--skip_existing", action="store_true", help="leave photos alone that are in --output"
    )
    parser.add_argument("--steps", type=int, help="network evaluations a draw: 1 if left out")
    parser.add_argument("--draws", type=int, help="draws whose mean is the photo: 1 if left out")
    options, unknown = parser.parse_known_args(words)
    if unknown:
        parser.error(
            f"there is no {unknown[0]} here; python -m experiments.restore has all choices"
        )
    try:
        return _restore(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return INTERRUPTED


def _restore(options: argparse.Namespace) -> int:
    from fftdiff_jax.restore import folders

    output = Path(options.output).expanduser().absolute()
    keep = options.skip_existing
    planned = [job for photo in options.photos for job in folders.plan(photo, output, keep=keep)]
    folders.require_own_targets(planned)
    if keep:
        planned = [job for job in planned if not job.target.exists()]
    print(f"restoring {folders.photos(len(planned))} into {output}", flush=True)
    from fftdiff_jax.restore.restorer import Restorer

    restorer = Restorer.pretrained()
    refused = 0
    for job in folders.until_interrupted(planned):
        reason = folders.restore(restorer, job, draws=options.draws, steps=options.steps)
        print(f"not restored: {reason}" if reason else job.target, flush=True)
        refused += bool(reason)
    return 1 if refused else 0


if __name__ == "__main__":
    code = main()
    if code == INTERRUPTED:
        # An ordinary exit would take JAX apart under a program that still runs.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
