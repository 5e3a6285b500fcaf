"""rho(f), the strength of rain at each radial frequency: measured, tabulated, read."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fftdiff_jax.method.spectra import MAGNITUDE_FLOOR, radial_frequency, to_spectrum

# Where strength is tabulated: cycles a pixel, octaves from 1/256 to 1/2.
KNOT_FREQUENCIES = tuple(2.0**-k for k in range(8, 0, -1))
# Rain800's training pairs; a run measures its own (`measure_rain_spectrum`).
DEFAULT_RAIN_SPECTRUM = (0.064, 1.8, 0.87, 0.49, 0.32, 0.216, 0.131, 0.061, 0.03)


def rain_strength(
    rain_spectrum: Sequence[float], height: int, width: int
) -> Float[np.ndarray, "h w 1"]:
    """rho(f) at every frequency of a photo: the table's power laws, joined.

    They are carried on below the table; above it, in a spectrum's corners, rho stays what it is.

    `rain_spectrum` holds the constant term in units of sqrt(pixels), which is how a uniform veil
    grows with the photo, then rho at `KNOT_FREQUENCIES`. Any photo size reads the same table.
    """
    frequency = radial_frequency(height, width)
    knots = np.log(np.asarray(rain_spectrum[1:]))
    at = np.log(np.maximum(frequency, 1e-9))
    lowest, spacing = math.log(KNOT_FREQUENCIES[0]), math.log(2)
    strength = np.exp(np.interp(at, np.log(KNOT_FREQUENCIES), knots))
    slope = (knots[1] - knots[0]) / spacing
    strength = np.where(at < lowest, np.exp(knots[0] + slope * (at - lowest)), strength)
    constant = rain_spectrum[0] * math.sqrt(height * width)
    return np.where(frequency == 0, constant, strength).astype(np.float32)


def measure_rain_spectrum(
    clean: Float[Array | np.ndarray, "n h w 3"], rainy: Float[Array | np.ndarray, "n h w 3"]
) -> tuple[float, ...]:
    """Root mean square of |X - Y| over pairs, tabulated for `rain_strength`.

    Knots below the crops' own lowest frequency continue the power law of the two knots above.
    """
    height, width = clean.shape[-3:-1]
    power = np.asarray(
        jnp.mean(jnp.square(jnp.abs(to_spectrum(jnp.asarray(clean - rainy)))), axis=(0, -1))
    )
    frequency = radial_frequency(height, width)[..., 0]
    constant = math.sqrt(float(power[frequency == 0][0]) / (height * width))
    octave = np.log2(np.maximum(frequency, 1e-9))
    knots = []
    for knot in KNOT_FREQUENCIES:
        weight = np.clip(1 - np.abs(octave - math.log2(knot)), 0, None) * (frequency > 0)
        total = weight.sum()
        knots.append(math.sqrt(float((weight * power).sum() / total)) if total > 1 else math.nan)
    first = next(i for i, value in enumerate(knots) if not math.isnan(value))
    ratio = knots[first] / max(knots[first + 1], 1e-6)
    for i in range(first - 1, -1, -1):
        knots[i] = knots[i + 1] * max(ratio, 1.0)
    # A floor keeps tau defined on pairs that hardly differ.
    return tuple(round(max(value, MAGNITUDE_FLOOR), 6) for value in (constant, *knots))
