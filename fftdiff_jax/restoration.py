"""Restorer: a checkpoint and a photo of any size in, a clean photo out.

Every photo is cut into overlapping tiles of one size, restored in batches of one size, and blended:
one compiled program serves all photos, and memory does not grow with them. The tiles of one draw
agree in detail where they overlap, because their starting noise is cut from one noise photo
(`spectra.turn_noise`) and because the network sees a pixel's surroundings alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, UInt8

from fftdiff_jax import diffusion, sampling, spectra
from fftdiff_jax.config import Config, SamplingConfig
from fftdiff_jax.denoiser import predict
from fftdiff_jax.errors import UserError

TILE = 256  # side of a tile, in pixels
OVERLAP = 48  # pixels that neighbouring tiles share at least; they are blended over these
TILES_AT_ONCE = {"cpu": 2}  # tiles that a device holds at a time
TILES_AT_ONCE_ELSEWHERE = 16
NOISE_ROWS = 64  # noise is drawn in strips of so many rows, each from a seed of its own


def make_tile_sampler(
    config: Config, sampling_config: SamplingConfig
) -> Callable[[PyTree, Array, Array, PRNGKeyArray], Array]:
    """A function (params, rainy, white noise, key) -> clean photos, to be compiled.

    Photos are float32 (b, h, w, 3) in [0, 1], noise is standard normal of the same shape, and the
    result is clipped to [0, 1].
    """
    schedule = diffusion.make_schedule(config.diffusion.schedule)
    sampler = sampling.make_sampler(sampling_config.sampler, sampling_config.eta)
    guidance = sampling_config.guidance
    if guidance != 1.0 and config.diffusion.condition_dropout == 0:
        raise UserError("sampling.guidance other than 1 wants a model with condition dropout")
    independent = config.diffusion.noise == "independent"
    representation = spectra.make_representation(config.representation)

    def restore(
        params: PyTree,
        rainy: Float[Array, "b h w 3"],
        white: Float[Array, "b h w 3"],
        key: PRNGKeyArray,
    ) -> Float[Array, "b h w 3"]:
        def denoise(noisy, t, estimate):
            times = jnp.full(rainy.shape[:1], t)
            seen = predict(config, params, noisy, rainy, times, estimate)
            if guidance == 1.0:
                return sampling.Estimate(seen.state, seen.photo)
            # Ho and Salimans 2022, eq. 6, on the clean state: away from what needs no condition.
            nothing = jnp.zeros(rainy.shape[:1], bool)
            blind = predict(config, params, noisy, rainy, times, estimate, nothing)
            state = blind.state + guidance * (seen.state - blind.state)
            return sampling.Estimate(state, representation.decode(state, rainy))

        def fresh_noise(k):
            if independent:
                return spectra.independent_noise(k, rainy)
            return spectra.photo_noise(k, rainy)

        start = fresh_noise(key) if independent else spectra.turn_noise(white, rainy)
        last, _ = sampling.sample(
            denoise,
            start,
            rainy,
            key,
            sampler=sampler,
            schedule=schedule,
            steps=sampling_config.steps,
            noise_scale=sampling_config.noise_scale,
            fresh_noise=fresh_noise,
        )
        return jnp.clip(last.memory, 0.0, 1.0)

    return restore


class Restorer:
    """Removes rain from photos: `restorer(photo)`.

    Attributes:
      config: the experiment that trained it.
    """

    def __init__(self, params: PyTree, config: Config) -> None:
        """Takes EMA parameters and the configuration that they were trained with."""
        self.config = config
        devices = jax.local_devices()
        self._devices = len(devices)
        self._tiles_at_once = TILES_AT_ONCE.get(devices[0].platform, TILES_AT_ONCE_ELSEWHERE)
        self._params = params
        self._compiled: dict[SamplingConfig, Callable[..., Array]] = {}

    @classmethod
    def from_checkpoint(cls, path: str | Path) -> Restorer:
        """Opens a run's folder; `UserError` when there is no complete checkpoint in it."""
        # Late: Orbax takes a second to import, and only this needs it.
        from fftdiff_jax.training.checkpoints import load_weights

        params, config, _ = load_weights(path)
        return cls(params, config)

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
    ) -> UInt8[np.ndarray, "h w 3"]:
        """The restored photo: the mean of `draws` draws of `steps` steps, rounded once.

        Raises:
          UserError: not an 8-bit RGB photo, or fewer than one draw or step.
        """
        return to_uint8(self.mean_float(photo, draws=draws, steps=steps, seed=seed))

    def mean_float(
        self,
        photo: UInt8[np.ndarray, "h w 3"],
        *,
        draws: int | None = None,
        steps: int | None = None,
        seed: int = 0,
    ) -> Float[np.ndarray, "h w 3"]:
        """The restored photo in [0, 1], one draw in memory at a time."""
        count = self.default_draws if draws is None else draws
        mean = np.zeros(photo.shape, np.float32)
        for draw in self._draws(photo, count, steps, seed):
            mean += draw / count
        return mean

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
        """The single draws, in [0, 1]."""
        count = self.default_draws if draws is None else draws
        return np.stack(list(self._draws(photo, count, steps, seed)))

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
        if draws < 2:
            raise UserError(f"draws is {draws}; a spread takes at least 2")
        photos = self.sample_float(photo, draws=draws, steps=steps, seed=seed)
        spectrum = np.asarray(spectra.to_spectrum(jnp.asarray(photos - photos.mean(0))))
        pixels = np.sqrt(photos.var(axis=0, ddof=1).mean(axis=-1))
        power = np.square(np.abs(spectrum)).sum(axis=0).mean(axis=-1) / (draws - 1)
        return pixels, np.sqrt(power)

    def _draws(
        self, photo: UInt8[np.ndarray, "h w 3"], draws: int, steps: int | None, seed: int
    ) -> Iterator[Float[np.ndarray, "h w 3"]]:
        if photo.ndim != 3 or photo.shape[-1] != 3 or photo.dtype != np.uint8:
            raise UserError(
                f"a photo is an array of uint8 (h, w, 3), found {photo.dtype} {photo.shape}"
            )
        if draws < 1:
            raise UserError(f"draws is {draws}; at least 1 is needed")
        steps = self.default_steps if steps is None else steps
        restore = self._compile(dataclasses.replace(self.config.sampling, steps=steps))
        yield from self._blend_draws(photo, draws, restore, seed)

    def _compile(self, sampling_config: SamplingConfig) -> Callable[..., Array]:
        if sampling_config not in self._compiled:
            function = make_tile_sampler(self.config, sampling_config)
            self._compiled[sampling_config] = jax.pmap(function, in_axes=(None, 0, 0, 0))
        return self._compiled[sampling_config]

    def _blend_draws(
        self, photo: UInt8[np.ndarray, "h w 3"], draws: int, restore: Callable, seed: int
    ) -> Iterator[Float[np.ndarray, "h w 3"]]:
        height, width = photo.shape[:2]
        padded = _pad_to_tile(photo)
        rows, columns = _tile_weights(padded.shape[0]), _tile_weights(padded.shape[1])
        # Tiles of several draws share a batch, so that small photos fill it too.
        jobs = [(draw, r, c) for draw in range(draws) for r in rows for c in columns]
        noise, total, open_draw = _NoiseStrips(seed, 0, padded.shape[1]), _zeros(padded), 0
        at_once = self._tiles_at_once * self._devices
        for first in range(0, len(jobs), at_once):
            some = jobs[first : first + at_once]
            full = some + [some[0]] * (at_once - len(some))  # one shape: no new compilation
            rainy = np.stack([padded[r : r + TILE, c : c + TILE] for _, r, c in full])
            white = []
            for draw, r, c in full:
                if draw != noise.draw:
                    noise = _NoiseStrips(seed, draw, padded.shape[1])
                white.append(noise.tile(r, c))
            keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), first), self._devices)
            shape = (self._devices, self._tiles_at_once, TILE, TILE, 3)
            clean = restore(
                self._params,
                rainy.reshape(shape).astype(np.float32) / 255,
                np.stack(white).reshape(shape),
                keys,
            )
            clean = np.asarray(clean).reshape(-1, TILE, TILE, 3)
            for (draw, r, c), tile in zip(some, clean, strict=False):
                if draw != open_draw:
                    yield total[:height, :width]
                    total, open_draw = _zeros(padded), draw
                weights = rows[r][:, None, None] * columns[c][None, :, None]
                total[r : r + TILE, c : c + TILE] += tile * weights
        yield total[:height, :width]


class _NoiseStrips:
    """White noise of one draw over a photo of any height, a few strips in memory at a time."""

    def __init__(self, seed: int, draw: int, width: int) -> None:
        self._seed, self.draw, self._width = seed, draw, width
        self._strips: dict[int, np.ndarray] = {}

    def tile(self, row: int, column: int) -> Float[np.ndarray, "t t 3"]:
        first, last = row // NOISE_ROWS, (row + TILE - 1) // NOISE_ROWS
        self._strips = {i: s for i, s in self._strips.items() if i >= first}
        strips = []
        for i in range(first, last + 1):
            if i not in self._strips:
                generator = np.random.default_rng((self._seed, self.draw, i))
                shape = (NOISE_ROWS, self._width, 3)
                self._strips[i] = generator.standard_normal(shape, np.float32)
            strips.append(self._strips[i][:, column : column + TILE])
        start = row - first * NOISE_ROWS
        return np.concatenate(strips)[start : start + TILE]


def _pad_to_tile(photo: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    rows, columns = (max(0, TILE - side) for side in photo.shape[:2])
    return np.pad(photo, ((0, rows), (0, columns), (0, 0)), mode="symmetric")


def _zeros(photo: np.ndarray) -> Float[np.ndarray, "h w 3"]:
    return np.zeros(photo.shape, np.float32)


def _tile_weights(side: int) -> dict[int, Float[np.ndarray, " t"]]:
    """Starts of evenly spread tiles that cover `side` pixels, and each one's blending weights.

    Neighbours overlap by OVERLAP or more. The weights of all tiles add up to 1 at every pixel: a
    raised cosine over the overlap, divided by the sum.
    """
    count = 1 + -(-(side - TILE) // (TILE - OVERLAP))
    starts = [round(i * (side - TILE) / max(count - 1, 1)) for i in range(count)]
    share = np.clip((np.arange(TILE) + 0.5) / OVERLAP, 0, 1)
    rise = 0.5 - 0.5 * np.cos(np.pi * share)
    windows, total = {}, np.zeros(side)
    for start in starts:
        # The photo's own border has no neighbour to fade into.
        left = rise if start > 0 else np.ones(TILE)
        right = rise[::-1] if start + TILE < side else np.ones(TILE)
        windows[start] = left * right
        total[start : start + TILE] += windows[start]
    return {
        start: (window / total[start : start + TILE]).astype(np.float32)
        for start, window in windows.items()
    }


def to_uint8(photo: Float[np.ndarray, "*n h w 3"]) -> UInt8[np.ndarray, "*n h w 3"]:
    """Rounds photos in [0, 1] to the 8-bit values they are saved with."""
    return np.round(np.clip(photo, 0, 1) * 255).astype(np.uint8)
