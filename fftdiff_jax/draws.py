"""What several draws say together: their mean, and how far one of them lies from it.

Draws 2k and 2k + 1 are a pair whose noise differs in sign alone (`noises.placed_noise`). With a and
b the draws of a pair, h = (a - b)/2 and p = (a + b)/2 do not go with each other, so for m pairs

    Var(draw) = Var(h) + Var(p),        Var(mean of all) = Var(p)/m.

h has mean 0, and where a draw depends on its noise linearly Var(p) is 0: then the mean of a single
pair is the posterior mean already, while each draw is as far from it as a draw should be.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from fftdiff_jax.errors import UserError


class Deviations(NamedTuple):
    """Differences whose squares add up to a variance, and those of their spectra to its power."""

    within: Float[np.ndarray, "m ..."]  # to Var(h)
    between: Float[np.ndarray, "m ..."]  # to Var(p); empty for a single pair, which cannot tell

    def variance(self) -> Float[np.ndarray, ...]:
        """Of one draw, at every pixel."""
        return np.square(self.within).sum(axis=0) + np.square(self.between).sum(axis=0)

    def mean_variance(self) -> Float[np.ndarray, ...]:
        """Of the mean of all pairs, at every pixel."""
        return np.square(self.between).sum(axis=0) / len(self.within)


def deviations(draws: Float[np.ndarray, "n ..."]) -> Deviations:
    """The deviations of draws 0, 1, 2, ... in order; a last one without a pair is left out.

    Raises:
      UserError: fewer than two draws.
    """
    pairs = len(draws) // 2
    if pairs == 0:
        raise UserError(f"draws is {len(draws)}; a spread takes at least 2")
    first, second = draws[: 2 * pairs : 2], draws[1 : 2 * pairs : 2]
    half, middle = (first - second) / 2, (first + second) / 2
    between = middle[:0]
    if pairs > 1:
        between = (middle - middle.mean(axis=0)) / math.sqrt(pairs - 1)
    return Deviations(half / math.sqrt(pairs), between)


def spread(draws: Float[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "h w"]:
    """Standard deviation of one draw at every pixel, root mean square over R, G and B."""
    return np.sqrt(deviations(draws).variance().mean(axis=-1))
