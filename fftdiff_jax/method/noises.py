"""Noise that states can have: grey as rain is, Hermitian as photos are, and bound to places."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

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


class Latent(NamedTuple):
    """Standard normal numbers that decide which of the possible photos a sample is."""

    numbers: Float[Array, "b n"]  # what a whole photo shares, such as how much of it is rain
    # What is local: one picture for each of `CELLS`, smooth over so many pixels.
    pixels: Float[Array, "b h w 3"]


LATENT_NUMBERS = 32
CELLS = (8, 32, 128)
_WHOLE_PHOTO = 2**32 - 1  # the last number that no pixel's place has


def placed_noise(
    key: PRNGKeyArray, tile_origins: Int[Array, "b 3"], size: tuple[int, int], channels: int = 3
) -> Float[Array, "b h w c"]:
    """Standard white noise that a pixel has by its place, whatever tile it is seen in.

    Only a tile's mean is not its pixels' own but that of the draw: the constant term stands for the
    veil of rain over the whole photo, is by far the strongest of all, and would make each tile a
    little brighter or darker than the next.

    Args:
      key: of the whole photo's noise.
      tile_origins: number of the draw, top row and left column of each tile.
      size: height and width of a tile.
      channels: numbers a pixel.
    """

    def tile(origin: Int[Array, " 3"]) -> Array:
        draw_key = jax.random.fold_in(key, origin[0])
        noise = _noise_at(draw_key, *_places(origin, size), channels)
        constant = jax.random.normal(jax.random.fold_in(draw_key, _WHOLE_PHOTO), (channels,))
        centred = noise - noise.mean(axis=(0, 1))
        # A mean of n numbers has the std n^-1/2.
        return centred + constant / math.sqrt(size[0] * size[1])

    return jax.vmap(tile)(tile_origins)


def placed_latent(
    key: PRNGKeyArray, tile_origins: Int[Array, "b 3"], size: tuple[int, int]
) -> Latent:
    """The latent of tiles: numbers that all tiles of a draw share, pixels by their places.

    Args:
      key, tile_origins, size: see `placed_noise`.
    """

    def tile(origin: Int[Array, " 3"]) -> Latent:
        draw_key = jax.random.fold_in(key, origin[0])
        numbers = jax.random.normal(jax.random.fold_in(draw_key, _WHOLE_PHOTO), (LATENT_NUMBERS,))
        rows, columns = _places(origin, size)
        pictures = [
            _smooth_noise_at(jax.random.fold_in(draw_key, i), rows, columns, cell)
            for i, cell in enumerate(CELLS)
        ]
        return Latent(numbers, jnp.concatenate(pictures, axis=-1))

    return jax.vmap(tile)(tile_origins)


def draw_latent(key: PRNGKeyArray, size: tuple[int, int]) -> Latent:
    """The latent of one example from a key alone, as training wants it."""
    of_place, of_latent = jax.random.split(key)
    # Anywhere in a photo: cells begin at any pixel of a crop.
    place = jax.random.randint(of_place, (2,), 0, max(CELLS))
    origin = jnp.concatenate([jnp.zeros(1, place.dtype), place])
    return jax.tree.map(lambda leaf: leaf[0], placed_latent(of_latent, origin[None], size))


def _places(
    origin: Int[Array, " 3"], size: tuple[int, int]
) -> tuple[Int[Array, " h"], Int[Array, " w"]]:
    """Rows and columns of a tile's pixels in the whole photo."""
    starts = origin[1:].astype(jnp.uint32)
    rows, columns = (
        start + jnp.arange(side, dtype=jnp.uint32) for start, side in zip(starts, size, strict=True)
    )
    return rows, columns


def _smooth_noise_at(
    key: PRNGKeyArray, rows: Int[Array, " h"], columns: Int[Array, " w"], cell: int
) -> Float[Array, "h w 1"]:
    """Standard noise between whose corners, `cell` pixels apart, it is interpolated.

    Bilinear, over the root of the weights' squares, so that its variance is 1 everywhere: noise
    with edges would show as a grid in what is made of it.
    """
    total = jnp.zeros((len(rows), len(columns), 1))
    squares = jnp.zeros_like(total)
    places = [(side // cell, (side % cell) / cell) for side in (rows, columns)]
    for down, right in itertools.product((0, 1), repeat=2):
        (row, y), (column, x) = places
        weight_y, weight_x = (1 - w if step == 0 else w for w, step in ((y, down), (x, right)))
        weight = (weight_y[:, None] * weight_x[None, :])[..., None]
        total += weight * _noise_at(key, row + down, column + right, 1)
        squares += jnp.square(weight)
    return total / jnp.sqrt(squares)


def _noise_at(
    key: PRNGKeyArray, rows: Int[Array, " h"], columns: Int[Array, " w"], channels: int
) -> Float[Array, "h w c"]:
    """Standard white noise that depends on nothing but the key and the place."""

    def pixel(row: Int[Array, ""], column: Int[Array, ""]) -> Array:
        # 65,536 columns: more than any photo has.
        place = jax.random.fold_in(key, (row << 16) + column)
        return jax.random.normal(place, (channels,))

    return jax.vmap(lambda row: jax.vmap(lambda column: pixel(row, column))(columns))(rows)


def colour_as_rain(white: Float[Array, "*b h w 3"]) -> Float[Array, "*b h w 3"]:
    """White noise made as grey as rain is."""
    return white @ TO_RAIN_COLOUR.T


def photo_to_state(
    photo: Float[Array, "*b h w 3"], rainy: Float[Array, "*b h w 3"]
) -> Float[Array, "*b h w 6"]:
    """The spectrum of a noise photo, turned by the rainy phase: sqrt(2) F n conj(Y)/|Y|."""
    turn = jnp.conj(spectra.unit(spectra.to_spectrum(rainy)))
    turned = math.sqrt(2) * spectra.to_spectrum(photo) * turn
    return spectra.join(turned.real, turned.imag)


def state_to_photo(
    state: Float[Array, "*b h w 6"], rainy: Float[Array, "*b h w 3"]
) -> Float[Array, "*b h w 3"]:
    """Inverse of `photo_to_state`, for states that real photos can have (Hermitian ones)."""
    turned = jax.lax.complex(state[..., :3], state[..., 3:])
    turn = spectra.unit(spectra.to_spectrum(rainy))
    return spectra.to_photo(turned * turn) / math.sqrt(2)


class Noise(Protocol):
    """The standard noise of states.

    Attributes:
      channels: white numbers that it takes a pixel.
    """

    @property
    def channels(self) -> int:
        """See the class."""
        ...

    def to_state(
        self, white: Float[Array, "*b h w n"], rainy: Float[Array, "*b h w 3"]
    ) -> Float[Array, "*b h w 6"]:
        """The state noise of a rainy photo that standard white noise in pixels makes."""
        ...


@dataclasses.dataclass(frozen=True)
class PhotoNoise:
    """Gaussian noise of mean variance 1 among the states that a pair of real photos can have.

    A real photo's spectrum is Hermitian, so true states are even in magnitude and odd in phase.
    White noise in pixels, made as grey as rain is, transformed and turned by the rainy phase, has
    that symmetry; two overlapping crops of one noise photo therefore get states that agree where
    they overlap. What it decodes to looks like rain, in strength at each frequency and in colour.
    """

    channels: int = 3

    def to_state(
        self, white: Float[Array, "*b h w 3"], rainy: Float[Array, "*b h w 3"]
    ) -> Float[Array, "*b h w 6"]:
        """See `Noise`."""
        return photo_to_state(colour_as_rain(white), rainy)


@dataclasses.dataclass(frozen=True)
class IndependentNoise:
    """Standard noise in every number of the state, as the original recipe has it."""

    channels: int = spectra.CHANNELS

    def to_state(
        self, white: Float[Array, "*b h w 6"], rainy: Float[Array, "*b h w 3"]
    ) -> Float[Array, "*b h w 6"]:
        """See `Noise`."""
        del rainy
        return white


NOISES: dict[str, Noise] = {"photo": PhotoNoise(), "independent": IndependentNoise()}


def draw_noise(
    noise: Noise, key: PRNGKeyArray, rainy: Float[Array, "*b h w 3"]
) -> Float[Array, "*b h w 6"]:
    """State noise from a key alone, as training wants it."""
    white = jax.random.normal(key, (*rainy.shape[:-1], noise.channels), rainy.dtype)
    return noise.to_state(white, rainy)
