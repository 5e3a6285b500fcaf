"""Square crops of a pair, cut and turned alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

# Fractions of crops that are transposed. Rain falls, so quarter turns of a rainy photo show what no
# photo shows; a few teach that the direction is not always the same. A clean photo can be turned
# freely before rain is rendered.
TURNED_RAINY = 0.1
TURNED_CLEAN = 0.5


def cut_crop(
    photos: Sequence[UInt8[np.ndarray, "h w 3"]],
    size: int,
    rng: np.random.Generator,
    *,
    augment: bool = True,
    turned: float = TURNED_RAINY,
) -> list[UInt8[np.ndarray, "s s 3"]]:
    """Cuts the same random square from photos of one size, flipped and turned alike.

    Args:
      photos: of the same height and width, neither less than `size`.
      size: side of the square in pixels.
      rng: where the randomness comes from; it is used the same way whatever is cut.
      augment: flip each way in half of the cases, and transpose in the fraction `turned` of them.
      turned: fraction of transposed crops, 0 to 1; with a flip that is a quarter turn.

    Returns:
      The squares, in the order of `photos`, as arrays of their own.
    """
    height, width = photos[0].shape[:2]
    top = int(rng.integers(height - size + 1))
    left = int(rng.integers(width - size + 1))
    down, across, turn = rng.random(3) < (0.5, 0.5, turned)
    crops = [photo[top : top + size, left : left + size] for photo in photos]
    if augment:
        crops = [crop[:: -1 if down else 1, :: -1 if across else 1] for crop in crops]
        if turn:
            crops = [crop.transpose(1, 0, 2) for crop in crops]
    return [np.ascontiguousarray(crop) for crop in crops]
