"""Frames of a camera that stands still, averaged with their neighbours where nothing moves.

What it is worth, and what it costs where the camera moves, is in docs/video.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Shaped
from scipy.ndimage import uniform_filter

from fftdiff_jax.pixels import to_type, to_unit

ALIKE = 8 / 255  # a difference at which a neighbour counts for exp(-1/2)
_SIDE = 5  # pixels over which differences are averaged


def steadied(
    frames: Iterable[Shaped[np.ndarray, "h w 3"]],
) -> Iterator[Shaped[np.ndarray, "h w 3"]]:
    """Yields as many frames, each a mean of itself, the one before and the one after.

    Args:
      frames: uint8, uint16 or floats in [0, 1], all of one size; three of them are held at a time.
    """
    before: Shaped[np.ndarray, "h w 3"] | None = None
    here: Shaped[np.ndarray, "h w 3"] | None = None
    for after in frames:
        if here is not None:
            yield _mean(here, [one for one in (before, after) if one is not None])
        before, here = here, after
    if here is not None:
        yield _mean(here, [] if before is None else [before])


def _mean(
    frame: Shaped[np.ndarray, "h w 3"], neighbours: list[Shaped[np.ndarray, "h w 3"]]
) -> Shaped[np.ndarray, "h w 3"]:
    own = to_unit(frame)
    total, weights = own.copy(), np.ones((*own.shape[:2], 1), np.float32)
    for neighbour in map(to_unit, neighbours):
        apart = uniform_filter(np.abs(neighbour - own).mean(axis=-1), _SIDE)
        weight = np.exp(-0.5 * np.square(apart / ALIKE))[..., None]
        total += weight * neighbour
        weights += weight
    return to_type(total / weights, frame.dtype)
