"""Whether what was changed in a photo looks like rain: it falls everywhere, railings do not.

How often this is right is in docs/safety.md, with the command that measures it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

from fftdiff_jax.pixels import to_unit

BLOCK = 16  # pixels a side
LEAST_BLOCKS = 64  # of a photo; what is smaller is not judged
MUCH = 2.0  # grey levels of 255
UNEVEN = 1.1
WARNING = (
    "much was changed in few places, which may be a pattern and no rain (a railing, grass, "
    "writing); look at it, and see --strength and --protect"
)
_ROWS = 16 * BLOCK


class Change(NamedTuple):
    """What was changed in a photo.

    Attributes:
      amount: of the fine change, in grey levels of 255: its deviation within blocks, on average.
      unevenness: the deviation of that from block to block, over its mean.
    """

    amount: float
    unevenness: float

    @property
    def doubtful(self) -> bool:
        """Whether much was changed, and hardly anywhere."""
        return self.amount > MUCH and self.unevenness > UNEVEN


def warnings(
    photo: Shaped[np.ndarray, "h w 3"], restored: Shaped[np.ndarray, "h w 3"], *, masked: bool
) -> tuple[str, ...]:
    """`WARNING` where the change is doubtful; none under a mask, which makes any change uneven."""
    return (WARNING,) if not masked and measure(photo, restored).doubtful else ()


def measure(photo: Shaped[np.ndarray, "h w 3"], restored: Shaped[np.ndarray, "h w 3"]) -> Change:
    """Compares a photo and what was made of it: uint8, uint16 or floats in [0, 1].

    Of a photo of few blocks nothing is said: no change.
    """
    height, width = (length // BLOCK for length in photo.shape[:2])
    if height * width < LEAST_BLOCKS:
        return Change(0.0, 0.0)
    found = []
    for top in range(0, height * BLOCK, _ROWS):
        rows = slice(top, min(top + _ROWS, height * BLOCK))
        before, after = (
            to_unit(one[rows, : width * BLOCK]).mean(axis=-1) for one in (photo, restored)
        )
        blocks = (255 * (before - after)).reshape(-1, BLOCK, width, BLOCK)
        found.append(blocks.std(axis=(1, 3)).ravel())
    deviations = np.concatenate(found)
    amount = float(deviations.mean())
    return Change(amount, float(deviations.std()) / max(amount, 1e-6))
