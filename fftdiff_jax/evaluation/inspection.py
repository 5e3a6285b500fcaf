"""The numbers behind the figures: noised pairs, a draw on its way, rain by frequency.

Each function returns plain arrays that the functions of `figures` draw.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from fftdiff_jax.config import Config
from fftdiff_jax.errors import UserError
from fftdiff_jax.method import diffusion, noises, spectra
from fftdiff_jax.method.method import make_method
from fftdiff_jax.metrics import calibration
from fftdiff_jax.metrics.power import spectral_power
from fftdiff_jax.restore.restorer import Restorer
from fftdiff_jax.restore.tile_programs import make_trajectory

SIDE = 256  # of the windows on photos that are looked at, in pixels


class Noised(NamedTuple):
    """One pair at several times of the forward process."""

    states: Float[np.ndarray, "n h w 6"]  # z_t
    photos: Float[np.ndarray, "n h w 3"]  # what they decode to, clipped to [0, 1]


class Path(NamedTuple):
    """One draw on its way from noise to a photo."""

    times: Float[np.ndarray, " s"]  # t of each step, from 1 downwards
    noisy: Float[np.ndarray, "s h w 3"]  # what z_t decodes to before each step
    estimates: Float[np.ndarray, "s h w 3"]  # the clean photo as each step sees it


def noise_pair(
    config: Config,
    clean: UInt8[np.ndarray, "h w 3"],
    rainy: UInt8[np.ndarray, "h w 3"],
    times: Sequence[float],
    *,
    seed: int = 0,
) -> Noised:
    """Takes a pair through the forward process, with the same noise at every time in [0, 1]."""
    method = make_method(config)
    representation, schedule = method.representation, method.schedule
    x, y = (jnp.asarray(photo, jnp.float32) / 255 for photo in (clean, rainy))
    state, noise = (
        representation.encode(x, y),
        noises.draw_noise(method.noise, jax.random.key(seed), y),
    )
    t = jnp.asarray(times, jnp.float32)[:, None, None, None]
    states = diffusion.diffuse(state, noise, schedule.alpha(t), schedule.sigma(t))
    photos = jnp.clip(representation.decode(states, y[None]), 0, 1)
    return Noised(np.asarray(states), np.asarray(photos))


def draw_path(
    restorer: Restorer,
    rainy: UInt8[np.ndarray, "h w 3"],
    *,
    steps: int,
    seed: int = 0,
) -> Path:
    """Draws one photo, and keeps the input and the output of every step.

    Args:
      restorer: whose network and sampler draw.
      rainy: a photo, small enough to be restored in one piece (a `pixels.centre_crop` of `SIDE`).
      steps: network evaluations.
      seed: of the noise.

    Raises:
      UserError: fewer than one step, or weights that were not trained for draws.
    """
    restorer.require_draws()
    way = dataclasses.replace(restorer.config.sampling, steps=steps)
    draw = jax.jit(make_trajectory(make_method(restorer.config), way))
    photo, place = rainy[None].astype(np.float32) / 255, np.zeros((1, 3), np.int32)
    path = draw(restorer.params, photo, place, jax.random.key(seed))
    return Path(
        *(np.asarray(part) for part in (path.times, path.noisy[:, 0], path.estimates[:, 0]))
    )


def errors(
    clean: UInt8[np.ndarray, "h w 3"],
    rainy: UInt8[np.ndarray, "h w 3"],
    draws: Float[np.ndarray, "n h w 3"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The error of the rainy photo and of the draws' mean by frequency, and the draws' spread.

    Returns:
      What `figures.error_by_frequency` takes: the rings' edges, and the mean squares in them; the
      spread is the variance of one draw.

    `draws` are two or more.
    """
    truth, before, mean = clean / np.float32(255), rainy / np.float32(255), draws.mean(axis=0)
    power = calibration.power_by_frequency
    spread = np.sum([power(draw - mean) for draw in draws], axis=0) / (len(draws) - 1)
    return calibration.FREQUENCIES, power(before - truth), power(mean - truth), spread


def rain_by_frequency(
    pairs: Iterable[tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]]],
    *,
    side: int = SIDE,
) -> tuple[Float[np.ndarray, "s s"], int]:
    """The mean over (clean, rainy) pairs of log |rainy| / |clean| on a centred spectrum.

    Photos are cut into windows of side x side pixels, weighted by a Hann window so that their
    borders do not draw a cross; smaller photos are left out.

    Returns:
      The map for `figures.where_rain_lives`, and how many pairs it is the mean of.

    Raises:
      UserError: no photo is large enough.
    """
    ramp = np.hanning(side + 2)[1:-1].astype(np.float32)
    window = (ramp[:, None] * ramp)[..., None]
    total, count = np.zeros((side, side)), 0
    for clean, rainy in pairs:
        height, width = clean.shape[:2]
        corners = [
            (top, left)
            for top in range(0, height - side + 1, side)
            for left in range(0, width - side + 1, side)
        ]
        for top, left in corners:
            levels = []
            for photo in (rainy, clean):
                cut = photo[top : top + side, left : left + side].astype(np.float32) / 255
                # The mean would leak into the lowest frequencies through the window.
                cut = (cut - cut.mean(axis=(0, 1))) * window
                levels.append(0.5 * np.log(spectral_power(cut) + spectra.MAGNITUDE_FLOOR**2))
            total += (levels[0] - levels[1]) / len(corners)
        count += bool(corners)
    if not count:
        raise UserError(f"no photo has {side} x {side} pixels; rain by frequency needs larger ones")
    return total / count, count
