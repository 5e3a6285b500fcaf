"""Opens weights wherever they lie: a file, a folder that holds one, a run's checkpoints."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from jaxtyping import PyTree

from fftdiff_jax.config import Config
from fftdiff_jax.errors import UserError
from fftdiff_jax.restore.weights import FOLDER, SUFFIX, read_weights


def load_weights(path: str | Path) -> tuple[PyTree, Config, int]:
    """The EMA weights to restore photos with, their configuration, and their step.

    Args:
      path: a file of weights, a folder that holds one and no checkpoints, or what
        `checkpoint_reader.load_checkpoint` reads. A file of weights has no step: 0.

    Raises:
      UserError: no weights there, damaged ones, or ones of another version.
    """
    path = Path(path).expanduser().absolute()
    file = _weights_file(path)
    if file is None:
        # Late: Orbax takes a second to import, and a file of weights does without.
        from fftdiff_jax.restore.checkpoint_reader import load_checkpoint

        with _errors_alone("absl"):
            return load_checkpoint(path)
    return *read_weights(file), 0


@contextlib.contextmanager
def _errors_alone(name: str) -> Iterator[None]:
    """Keeps a logger's warnings back: Orbax has some for every folder that is only read."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(max(before, logging.ERROR))
    try:
        yield
    finally:
        logger.setLevel(before)


def _weights_file(path: Path) -> Path | None:
    """The one file of weights that a path means, if it means one."""
    if path.suffix == SUFFIX:
        return path
    if (path / FOLDER).exists():
        return None
    files = sorted(path.glob(f"*{SUFFIX}"))
    if len(files) > 1:
        raise UserError(f"{path}: holds {len(files)} files of weights; name one of them")
    return files[0] if files else None
