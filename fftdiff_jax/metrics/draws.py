"""Several draws together: how far they lie from their mean, and which differ most."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from fftdiff_jax.errors import UserError


def variance(draws: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, ...]:
    """The variance of one draw, unbiased.

    Raises:
      UserError: fewer than two draws.
    """
    if len(draws) < 2:
        raise UserError(f"draws is {len(draws)}; a spread takes at least 2")
    return draws.var(axis=0, ddof=1)


def spread(draws: Float[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "h w"]:
    """Standard deviation of one draw at every pixel, root mean square over R, G and B."""
    return np.sqrt(variance(draws).mean(axis=-1))


def most_different(squares: Float[np.ndarray, "n n"], count: int) -> list[int]:
    """Numbers of the draws that lie furthest apart: the two that do, then each next one.

    A few well-chosen samples show more of a distribution than as many random ones (Cohen et al.
    2023).

    Args:
      squares: mean squared differences between draws.
      count: how many are wanted; all where there are no more.
    """
    chosen = [int(i) for i in np.unravel_index(np.argmax(squares), squares.shape)]
    while len(chosen) < min(count, len(squares)):
        nearest = squares[:, chosen].min(axis=1)
        nearest[chosen] = -1
        chosen.append(int(np.argmax(nearest)))
    return chosen[:count]
