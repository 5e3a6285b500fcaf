"""Restorer: a checkpoint and a photo of any size in, a clean photo out.

Every photo is cut into overlapping tiles of a few sizes (tiling.py), restored in batches of one
size, and blended: at most three compiled programs serve all photos, and beyond the photo itself
memory does not grow with it. The tiles of one draw agree in detail where they overlap, because
their noise belongs to places (`noises.placed_noise`) and because the network sees a pixel's
surroundings alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, UInt8, UInt16

from fftdiff_jax import draws as drawing
from fftdiff_jax import tiling
from fftdiff_jax.config import Config, SamplingConfig
from fftdiff_jax.errors import UserError
from fftdiff_jax.tile_sampler import make_tile_sampler

# Tiles that a device holds at a time. A CPU computes one no slower than several, and a batch of one
# is never filled up with tiles that nobody wants; other devices idle on one.
TILES_AT_ONCE = {"cpu": 1}
TILES_AT_ONCE_ELSEWHERE = 8


class Restorer:
    """Removes rain from photos: `restorer(photo)`.

    Attributes:
      params: the weights.
      config: the experiment that trained them.
      step: how many training steps they have seen.
      name: where they were found.
    """

    def __init__(self, params: PyTree, config: Config, step: int = 0, name: str = "") -> None:
        """Takes EMA parameters and the configuration that they were trained with."""
        self.params, self.config, self.step, self.name = params, config, step, name
        devices = jax.local_devices()
        self._devices = len(devices)
        self._tiles_at_once = TILES_AT_ONCE.get(devices[0].platform, TILES_AT_ONCE_ELSEWHERE)
        # Pixels between neighbours at the network's coarsest resolution.
        self._stride = config.model.fold * 2 ** (len(config.model.widths) - 1)
        self._compiled: dict[SamplingConfig, Callable[..., Array]] = {}

    @classmethod
    def from_checkpoint(cls, path: str | Path) -> Restorer:
        """Opens a run's folder; `UserError` when there is no complete checkpoint in it."""
        # Late: Orbax takes a second to import, and only this needs it.
        from fftdiff_jax.training.checkpoints import load_weights

        return cls(*load_weights(path), name=str(path))

    @classmethod
    def pretrained(cls) -> Restorer:
        """The restorer that comes with the package; see pretrained/README.md for its training."""
        from fftdiff_jax.weights import pretrained_path

        return cls.from_checkpoint(pretrained_path())

    def with_sampling(self, **changes: Any) -> Restorer:
        """The same weights with other defaults of sampling, such as steps=4, noise_scale=0.0."""
        sampling_config = dataclasses.replace(self.config.sampling, **changes)
        config = dataclasses.replace(self.config, sampling=sampling_config)
        return Restorer(self.params, config, self.step, self.name)

    def _repr_html_(self) -> str:
        from fftdiff_jax.show import restorer_html  # Matplotlib, late

        return restorer_html(self)

    @property
    def default_steps(self) -> int:
        """Steps a draw when none are asked for."""
        return self.config.sampling.steps

    @property
    def default_draws(self) -> int:
        """Draws whose mean is the restored photo when no number is asked for."""
        return self.config.sampling.draws

    def __call__(
        self,
        photo: UInt8[np.ndarray, "h w 3"],
        *,
        draws: int | None = None,
        steps: int | None = None,
        seed: int = 0,
        bits: int = 8,
    ) -> UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]:
        """The restored photo: the mean of `draws` draws of `steps` steps, rounded once.

        It is rounded to `bits`, 8 or 16, over the full range of uint8 or uint16. Beyond photo and
        result, memory depends on the photo's width alone.

        Raises:
          UserError: not an 8-bit RGB photo, or fewer than one draw or step.
        """
        numbers = self._numbers(draws)
        restored = np.empty(photo.shape, _depth(bits))
        for top, rows in self._rows(photo, numbers, steps, seed, mean=True):
            restored[top : top + rows.shape[1]] = _rounded(rows[0], bits)
        return restored

    def with_spread(
        self,
        photo: UInt8[np.ndarray, "h w 3"],
        *,
        draws: int = 8,
        steps: int | None = None,
        seed: int = 0,
        bits: int = 8,
    ) -> tuple[UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]:
        """The restored photo, and the draws' standard deviation (root mean square over R, G, B).

        Raises:
          UserError: as for a call, or fewer than two draws.
        """
        _require_spread(draws)
        restored = np.empty(photo.shape, _depth(bits))
        spread = np.empty(photo.shape[:2], np.float32)
        for top, rows in self._rows(photo, range(draws), steps, seed):
            these = slice(top, top + rows.shape[1])
            restored[these] = _rounded(rows.mean(axis=0), bits)
            spread[these] = drawing.spread(rows)
        return restored, spread

    def sample(
        self,
        photo: UInt8[np.ndarray, "h w 3"],
        *,
        draws: int | None = None,
        steps: int | None = None,
        seed: int = 0,
    ) -> UInt8[np.ndarray, "n h w 3"]:
        """The single draws, rounded to 8 bits."""
        return to_uint8(self.sample_float(photo, draws=draws, steps=steps, seed=seed))

    def sample_float(
        self,
        photo: UInt8[np.ndarray, "h w 3"],
        *,
        draws: int | None = None,
        steps: int | None = None,
        seed: int = 0,
    ) -> Float[np.ndarray, "n h w 3"]:
        """The single draws, in [0, 1]; a draw does not depend on how many others are asked for."""
        return self._whole(photo, self._numbers(draws), steps, seed)

    def _numbers(self, draws: int | None) -> range:
        count = self.default_draws if draws is None else draws
        if count < 1:
            raise UserError(f"draws is {count}; at least 1 is needed")
        return range(count)

    def uncertainty(
        self,
        photo: UInt8[np.ndarray, "h w 3"],
        *,
        draws: int = 8,
        steps: int | None = None,
        seed: int = 0,
    ) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
        """Where the model guesses: the spread of the draws, by pixel and by frequency.

        Returns:
          The standard deviation over draws, root mean square over R, G, B: of the pixels, and of
          the centred spectrum's coefficients.
        """
        _require_spread(draws)
        # One pair in memory at a time: the two parts of `draws.deviations`, the second one about
        # the first pair, so that little is lost when the square of the mean is taken off.
        pairs = draws // 2
        pixels, frequencies = (np.zeros(photo.shape[:2], np.float32) for _ in range(2))
        first = total = np.zeros(photo.shape, np.float32)

        def add(difference: np.ndarray, weight: float) -> None:
            pixels[:] += weight * np.square(difference).mean(axis=-1)
            frequencies[:] += weight * _power(difference)

        for pair in range(pairs):
            one, other = self._whole(photo, [2 * pair, 2 * pair + 1], steps, seed)
            add((one - other) / 2, 1 / pairs)
            middle = (one + other) / 2
            if pair == 0:
                first = middle
            elif pairs > 1:
                total = total + (middle - first)
                add(middle - first, 1 / (pairs - 1))
        if pairs > 1:
            add(total, -1 / (pairs * (pairs - 1)))
        return np.sqrt(np.maximum(pixels, 0)), np.sqrt(np.maximum(frequencies, 0))

    def _whole(
        self, photo: UInt8[np.ndarray, "h w 3"], draws: Sequence[int], steps: int | None, seed: int
    ) -> Float[np.ndarray, "n h w 3"]:
        """Draws of these numbers."""
        whole = np.empty((len(draws), *photo.shape), np.float32)
        for top, rows in self._rows(photo, draws, steps, seed):
            whole[:, top : top + rows.shape[1]] = rows
        return whole

    def _rows(
        self,
        photo: UInt8[np.ndarray, "h w 3"],
        draws: Sequence[int],
        steps: int | None,
        seed: int,
        mean: bool = False,
    ) -> Iterator[tuple[int, Float[np.ndarray, "n r w 3"]]]:
        """Yields (top, rows of all draws, or of their mean), from top to bottom, once complete."""
        if photo.ndim != 3 or photo.shape[-1] != 3 or photo.dtype != np.uint8:
            raise UserError(
                f"a photo is an array of uint8 (h, w, 3), found {photo.dtype} {photo.shape}"
            )
        if 0 in photo.shape:
            raise UserError(f"a photo has pixels, found an array of {photo.shape}")
        steps = self.default_steps if steps is None else steps
        restore = self._compile(dataclasses.replace(self.config.sampling, steps=steps))
        height, width = photo.shape[:2]
        side = tiling.choose_side(height, width)
        padded = tiling.pad(photo, side, self._stride)
        blend = tiling.Blend(1 if mean else len(draws), height, width, side, self._stride)
        # Tiles of several draws share a batch, so that small photos fill it too.
        jobs = [(r, i, c) for r in blend.rows for i in range(len(draws)) for c in blend.columns]
        at_once = self._tiles_at_once * self._devices
        for first in range(0, len(jobs), at_once):
            some = jobs[first : first + at_once]
            batch = [(r, draws[i], c) for r, i, c in some]
            tiles = self._restore_tiles(restore, padded, batch, side, seed)
            for (r, i, c), tile in zip(some, tiles, strict=True):
                yield from blend.add(0 if mean else i, r, c, tile / len(draws) if mean else tile)
        yield from blend.finish()

    def _compile(self, sampling_config: SamplingConfig) -> Callable[..., Array]:
        if sampling_config not in self._compiled:
            function = make_tile_sampler(self.config, sampling_config)
            self._compiled[sampling_config] = jax.pmap(function, in_axes=(None, 0, 0, 0))
        return self._compiled[sampling_config]

    def _restore_tiles(
        self,
        restore: Callable[..., Array],
        photo: UInt8[np.ndarray, "h w 3"],
        batch: Sequence[tuple[int, int, int]],
        side: int,
        seed: int,
    ) -> Float[np.ndarray, "b t t 3"]:
        """Restores the tiles at (row, draw, column), at most a full batch of them."""
        shape = (self._devices, self._tiles_at_once, side, side, 3)
        spare = shape[0] * shape[1] - len(batch)
        full = [*batch, *[batch[0]] * spare]  # one shape: no new compilation
        rainy = np.stack([photo[r : r + side, c : c + side] for r, _, c in full])
        places = np.asarray([(draw, r, c) for r, draw, c in full], np.int32)
        clean = restore(
            self.params,
            rainy.reshape(shape).astype(np.float32) / 255,
            places.reshape(*shape[:2], 3),
            jnp.stack([jax.random.key(seed)] * self._devices),
        )
        return np.asarray(clean).reshape(-1, side, side, 3)[: len(batch)]


def to_uint8(photo: Float[np.ndarray, "*n h w 3"]) -> UInt8[np.ndarray, "*n h w 3"]:
    """Rounds photos in [0, 1] to the 8-bit values they are saved with."""
    return _rounded(photo, 8)


def _rounded(photo: Float[np.ndarray, "*n h w 3"], bits: int) -> np.ndarray:
    return np.round(np.clip(photo, 0, 1) * (2**bits - 1)).astype(_depth(bits))


def _depth(bits: int) -> type[np.generic]:
    if bits not in (8, 16):
        raise UserError(f"bits is {bits}; a photo is rounded to 8 or 16")
    return np.uint8 if bits == 8 else np.uint16


def _require_spread(draws: int) -> None:
    if draws < 2:
        raise UserError(f"draws is {draws}; a spread takes at least 2")


def _power(photo: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """|F x|^2 of the centred spectrum, averaged over R, G, B, a channel at a time."""
    # NumPy's FFT, for JAX would compile one for every size of photo.
    channels = [np.fft.fft2(photo[..., i], norm="ortho") for i in range(3)]
    power = sum(np.square(np.abs(channel)) for channel in channels) / 3
    return np.fft.fftshift(power).astype(np.float32)
