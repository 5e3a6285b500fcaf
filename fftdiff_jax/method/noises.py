"""Noise that states can have: grey as rain is, Hermitian as photos are, and bound to places."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from fftdiff_jax.errors import UserError
from fftdiff_jax.method import spectra

# Grey, then two axes across it, as columns of R, G, B.
GREY_AND_COLOUR = np.asarray(
    [
        [1 / math.sqrt(3), 1 / math.sqrt(2), 1 / math.sqrt(6)],
        [1 / math.sqrt(3), -1 / math.sqrt(2), 1 / math.sqrt(6)],
        [1 / math.sqrt(3), 0.0, -2 / math.sqrt(6)],
    ],
    np.float32,
)
# Rain is grey: about the power of rainy - clean along these axes over its mean, on Rain800's train
# split; at low frequencies a little less.
RAIN_COLOUR = (2.8, 0.1, 0.1)
# From white noise to noise of that colour; of each of R, G and B it keeps the variance.
TO_RAIN_COLOUR = (GREY_AND_COLOUR * np.sqrt(RAIN_COLOUR).astype(np.float32)) @ GREY_AND_COLOUR.T


def photo_noise(key: PRNGKeyArray, rainy: Float[Array, "*b h w 3"]) -> Float[Array, "*b h w 6"]:
    """Gaussian noise of mean variance 1 among the states that a pair of real photos can have.

    A real photo's spectrum is Hermitian, so true states are even in magnitude and odd in phase.
    White noise in pixels, made as grey as rain is, transformed and turned by the rainy phase, has
    that symmetry; two overlapping crops of one noise photo therefore get states that agree where
    they overlap. What it decodes to looks like rain, in strength at each frequency and in colour.
    """
    return turn_noise(jax.random.normal(key, rainy.shape, rainy.dtype), rainy)


def placed_noise(
    key: PRNGKeyArray, places: Int[Array, "b 3"], size: tuple[int, int], channels: int = 3
) -> Float[Array, "b h w c"]:
    """Standard white noise that a pixel has by its place, whatever tile it is seen in.

    Draws come in pairs, 2k and 2k + 1, whose noise differs in sign alone (antithetic variates;
    Hammersley and Morton 1956): each is a draw like any other, and where the estimate depends on
    the noise linearly their mean is free of it (draws.py).

    Only a tile's mean is not its pixels' own but that of the draw: the constant term stands for the
    veil of rain over the whole photo, is by far the strongest of all, and would make each tile a
    little brighter or darker than the next.

    Args:
      key: of the whole photo's noise.
      places: number of the draw, top row and left column of each tile.
      size: height and width of a tile.
      channels: numbers a pixel.
    """
    rows, columns = (jnp.arange(side, dtype=jnp.uint32) for side in size)

    def pixel(draw_key: PRNGKeyArray, row: Int[Array, ""], column: Int[Array, ""]) -> Array:
        # 65,536 columns: more than any photo has.
        place = jax.random.fold_in(draw_key, (row << 16) + column)
        return jax.random.normal(place, (channels,))

    def tile(place: Int[Array, " 3"]) -> Array:
        draw_key = jax.random.fold_in(key, place[0] // 2)
        sign = 1.0 - 2.0 * (place[0] % 2)
        top, left = place[1].astype(jnp.uint32), place[2].astype(jnp.uint32)
        across = jax.vmap(pixel, in_axes=(None, None, 0))
        noise = jax.vmap(across, in_axes=(None, 0, None))(draw_key, top + rows, left + columns)
        # The last number that no pixel's place has; a mean of n numbers has the deviation n^-1/2.
        constant = jax.random.normal(jax.random.fold_in(draw_key, 2**32 - 1), (channels,))
        centred = noise - noise.mean(axis=(0, 1))
        return sign * (centred + constant / math.sqrt(size[0] * size[1]))

    return jax.vmap(tile)(places)


def turn_noise(
    white: Float[Array, "*b h w 3"], rainy: Float[Array, "*b h w 3"]
) -> Float[Array, "*b h w 6"]:
    """The state noise that white noise in pixels, of deviation 1, means for a rainy photo."""
    return to_state(colour_rain(white), rainy)


def colour_rain(white: Float[Array, "*b h w 3"]) -> Float[Array, "*b h w 3"]:
    """White noise made as grey as rain is."""
    return white @ TO_RAIN_COLOUR.T


def to_state(
    photo: Float[Array, "*b h w 3"], rainy: Float[Array, "*b h w 3"]
) -> Float[Array, "*b h w 6"]:
    """The spectrum of a noise photo, turned by the rainy phase: sqrt(2) F n conj(Y)/|Y|."""
    turn = jnp.conj(spectra.unit(spectra.to_spectrum(rainy)))
    turned = math.sqrt(2) * spectra.to_spectrum(photo) * turn
    return spectra.join(turned.real, turned.imag)


def from_state(
    state: Float[Array, "*b h w 6"], rainy: Float[Array, "*b h w 3"]
) -> Float[Array, "*b h w 3"]:
    """Inverse of `to_state`, for states that a pair of real photos can have (Hermitian ones)."""
    turned = jax.lax.complex(state[..., :3], state[..., 3:])
    turn = spectra.unit(spectra.to_spectrum(rainy))
    return spectra.to_photo(turned * turn) / math.sqrt(2)


def independent_noise(
    key: PRNGKeyArray, rainy: Float[Array, "*b h w 3"]
) -> Float[Array, "*b h w 6"]:
    """Standard noise in every number of the state, as the original recipe has it."""
    return jax.random.normal(key, (*rainy.shape[:-1], spectra.CHANNELS), rainy.dtype)


NOISES = {"photo": photo_noise, "independent": independent_noise}


def make_noise(name: str) -> Callable[[PRNGKeyArray, Array], Array]:
    """The noise that a configuration names; `UserError` when there is none of that name."""
    if name not in NOISES:
        raise UserError(f"diffusion.noise is {name!r}; known: {', '.join(NOISES)}")
    return NOISES[name]
