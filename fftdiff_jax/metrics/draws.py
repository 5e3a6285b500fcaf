"""Several draws together: their mean, and how far one of them lies from it.

Draws 2k and 2k + 1 are a pair whose noise differs in sign alone (`noises.placed_noise`). With a and
b what the sampler made of that noise, h = (a - b)/2 and p = (a + b)/2 are uncorrelated, so

    Var(a) = Var(h) + Var(p).

h has mean 0. The mean of p is the posterior's where the sampler is perfect; where it is not, the
network's first estimate e is the better one, for which every example is trained. The draws of a
pair are therefore e + h and e - h (`centred`): the noise decides where they differ, and not what
they have in common. The mean of any number of pairs is e, not only that of infinitely many.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from fftdiff_jax.errors import UserError

WINDOW = 7  # pixels, of `in_windows`


class Deviations(NamedTuple):
    """Differences whose squares add up to a variance, and those of their spectra to its power."""

    within: Float[np.ndarray, "m ..."]  # to Var(h)
    between: Float[np.ndarray, "m ..."]  # to Var(p); empty for a single pair, which has none

    def variance(self) -> Float[np.ndarray, ...]:
        """Of one draw, at every pixel."""
        return np.square(self.within).sum(axis=0) + np.square(self.between).sum(axis=0)

    def mean_variance(self) -> Float[np.ndarray, ...]:
        """Of the mean of all pairs, at every pixel."""
        return np.square(self.between).sum(axis=0) / len(self.within)


def centred(
    draws: Float[np.ndarray, "n ..."], estimate: Float[np.ndarray, ...]
) -> Float[np.ndarray, "n ..."]:
    """e + h and e - h for every pair; the number of draws is even."""
    half = (draws[::2] - draws[1::2]) / 2
    return np.stack([estimate + half, estimate - half], axis=1).reshape(draws.shape)


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


def in_windows(spread: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """The spread over windows of `WINDOW` pixels: few draws hardly tell that of a single one."""
    from scipy.ndimage import uniform_filter

    variance = uniform_filter(np.square(spread), WINDOW, mode="nearest")
    return np.sqrt(np.maximum(variance, 0))


def spread(draws: Float[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "h w"]:
    """Standard deviation of one draw at every pixel, root mean square over R, G and B."""
    return np.sqrt(deviations(draws).variance().mean(axis=-1))
