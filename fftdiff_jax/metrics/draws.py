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
