"""How wrong a clean estimate is: a Gaussian around it, per pixel and per frequency.

Given a noisy state z_t, the denoiser outputs the mean of the clean photo and how far the truth may
lie from it. Its error is written as

    x - x_hat = s . (C w),      w ~ N(0, I) in pixels,

with s the standard deviation at each pixel and C a stationary filter: in the frequency domain,
real gains for grey and for colour that depend on radial frequency, of mean power 1. Sampling x
from this Gaussian at each step, in place of taking x_hat, gives samplers the variance that few
steps would otherwise lose (Bao et al. 2022, "Analytic-DPM": the best reverse variance holds
Var(x | z_t)); for a Gaussian it is exact at any number of steps.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fftdiff_jax.method import noises, spectra

# Log-power is tabulated at these radial frequencies, in cycles a pixel. Below them it follows the
# power law of the first two, for as many octaves: whole photos err in tone as well.
SPECTRUM_KNOTS = tuple(2.0**-k for k in range(6, 0, -1))
LOWEST_OCTAVE = -2
SPECTRUM_NUMBERS = 2 * len(SPECTRUM_KNOTS)  # of grey, then of the two colour axes
LEAST_STD = 1 / 512  # half a step of 8 bits: no truth is known better


def error_power(table: Float[Array, "b n"], height: int, width: int) -> Float[Array, "b h w 3"]:
    """Power of grey and of both colour axes at every frequency of a centred spectrum, mean 1."""
    octave = np.log2(np.maximum(spectra.radial_frequency(height, width)[..., 0], 1e-9))
    low = math.log2(SPECTRUM_KNOTS[0])
    place = np.clip(octave - low, LOWEST_OCTAVE, len(SPECTRUM_KNOTS) - 1)[..., None]
    # Piecewise linear in log-power over octaves: a fixed matrix from knots to frequencies.
    hats = np.clip(1 - np.abs(np.maximum(place, 0) - np.arange(len(SPECTRUM_KNOTS))), 0, None)
    below = np.minimum(place, 0)
    hats[..., :2] += np.concatenate([-below, below], axis=-1)
    grey, colour = jnp.split(table, 2, axis=-1)
    logs = [jnp.einsum("hwk,bk->bhw", hats.astype(np.float32), part) for part in (grey, colour)]
    power = jnp.exp(jnp.stack([logs[0], logs[1], logs[1]], axis=-1))
    return power / jnp.mean(power, axis=(1, 2, 3), keepdims=True)


def error_noise(
    white: Float[Array, "b h w 3"], table: Float[Array, "b n"]
) -> Float[Array, "b h w 3"]:
    """C w: white noise in pixels, given the spectrum of `table`; its mean variance stays 1."""
    height, width = white.shape[1:3]
    gains = jnp.sqrt(error_power(table, height, width))
    return spectra.to_photo(gains * spectra.to_spectrum(white)) @ noises.GREY_AND_COLOUR.T


def at_least(log_std: Float[Array, "b h w 1"]) -> Float[Array, "b h w 1"]:
    """The logarithm of sqrt(s^2 + `LEAST_STD`^2)."""
    return 0.5 * jnp.logaddexp(2 * log_std, 2 * math.log(LEAST_STD))


def std_loss(
    error: Float[Array, "b h w 3"], log_std: Float[Array, "b h w 1"]
) -> Float[Array, " b"]:
    """Negative log-likelihood of an error under a Gaussian of this std, but for a constant.

    Nix and Weigend 1994, eq. 4, for the mean square over R, G and B.
    """
    square = jnp.mean(jnp.square(error), axis=-1, keepdims=True)
    return jnp.mean(log_std + 0.5 * square * jnp.exp(-2 * log_std), axis=(1, 2, 3))


def spectrum_loss(
    whitened: Float[Array, "b h w 3"], table: Float[Array, "b n"]
) -> Float[Array, " b"]:
    """Negative log-likelihood of an error over its std, given its spectrum (Whittle 1953)."""
    height, width = whitened.shape[1:3]
    power = jnp.square(jnp.abs(spectra.to_spectrum(whitened @ noises.GREY_AND_COLOUR)))
    power /= jnp.maximum(jnp.mean(power, axis=(1, 2, 3), keepdims=True), 1e-12)
    expected = error_power(table, height, width)
    return 0.5 * jnp.mean(jnp.log(expected) + power / expected, axis=(1, 2, 3))
