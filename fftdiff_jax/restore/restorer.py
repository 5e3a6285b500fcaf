"""Restorer: weights and a photo of any size in, a clean photo out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from jaxtyping import Float, PyTree, UInt8, UInt16
from PIL import Image

from fftdiff_jax import config as configuration
from fftdiff_jax.config import Config, SamplingConfig, TrainingConfig
from fftdiff_jax.errors import UserError
from fftdiff_jax.method.method import make_method
from fftdiff_jax.metrics import draws as drawing
from fftdiff_jax.metrics.power import spectral_power
from fftdiff_jax.pixels import pixel_type, to_type, to_uint8
from fftdiff_jax.restore import pillow
from fftdiff_jax.restore.engine import Engine
from fftdiff_jax.restore.tiling import Rows

# One step draws nothing: of a spread, where no number of steps is asked for.
STEPS_OF_A_SPREAD = 4

# Pixels over the full range of uint8 or uint16, or floats in [0, 1].
Pixels = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"] | Float[np.ndarray, "h w 3"]
# What may be restored: an array, or an image as Pillow opens it.
Photo = Pixels | Image.Image
_KINDS = "of uint8 or uint16 (h, w, 3), or of floats in [0, 1],"


class Restorer:
    """Removes rain from photos: `restorer(photo)`.

    Attributes:
      params: the weights.
      config: the experiment that trained them.
      step: how many training steps they have seen.
      name: where they were found.
    """

    def __init__(self, params: PyTree, config: Config, step: int = 0, name: str = "") -> None:
        """Takes EMA parameters and the configuration that they were trained with.

        Raises:
          UserError: a field of the configuration is out of its range.
        """
        configuration.check(config)
        self.params, self.config, self.step, self.name = params, config, step, name
        self._engine = Engine(make_method(config), params, config.sampling)

    @classmethod
    def from_checkpoint(cls, path: str | Path) -> Restorer:
        """Opens a run's folder; `UserError` when there is no complete checkpoint in it."""
        from fftdiff_jax.restore.open_weights import load_weights

        return cls(*load_weights(path), name=str(path))

    @classmethod
    def pretrained(cls) -> Restorer:
        """The restorer that comes with the package; see pretrained/README.md for its training."""
        from fftdiff_jax.restore.weights import pretrained_path

        return cls.from_checkpoint(pretrained_path())

    def with_sampling(self, **changes: Any) -> Restorer:
        """The same weights with other defaults of sampling, such as steps=4, noise_scale=0.0.

        Raises:
          UserError: there is no such field, or it cannot have this value.
        """
        asked = dataclasses.asdict(self.config.sampling) | changes
        sampling = configuration.from_dict(asked, SamplingConfig, "sampling")
        config = dataclasses.replace(self.config, sampling=sampling)
        return Restorer(self.params, config, self.step, self.name)

    def __repr__(self) -> str:
        return f"Restorer({self.name!r}, step {self.step})"

    def _repr_html_(self) -> str:
        from fftdiff_jax.restore.notebook import restorer_html  # Matplotlib, late

        return restorer_html(self)

    @property
    def default_steps(self) -> int:
        """Steps a draw when none are asked for."""
        return self.config.sampling.steps

    @property
    def default_draws(self) -> int:
        """Draws whose mean is the restored photo when no number is asked for."""
        return self.config.sampling.draws

    @overload
    def __call__(
        self,
        photo: Pixels,
        *,
        draws: int | None = None,
        steps: int | None = None,
        seed: int = 0,
        bits: int | None = None,
    ) -> Pixels: ...

    @overload
    def __call__(
        self,
        photo: Image.Image,
        *,
        draws: int | None = None,
        steps: int | None = None,
        seed: int = 0,
    ) -> Image.Image: ...

    def __call__(
        self,
        photo: Photo,
        *,
        draws: int | None = None,
        steps: int | None = None,
        seed: int = 0,
        bits: int | None = None,
    ) -> Pixels | Image.Image:
        """The restored photo: the mean of `draws` draws of `steps` steps, rounded once.

        An array comes back as one of its own type, or rounded to `bits`, 8 or 16, over the full
        range of uint8 or uint16; a Pillow image comes back as an image. Beyond photo and result,
        memory depends on the photo's width alone.

        Raises:
          UserError: not an RGB photo, a number of draws or steps or a seed out of its range, or
            weights whose photo is not finite.
        """
        pixels, numbers = _pixels(photo), self._numbers(draws)
        restored = np.empty(pixels.shape, pixel_type(bits) if bits else pixels.dtype)
        for top, rows in self._rows(pixels, numbers, steps, seed):
            restored[top : top + rows.shape[1]] = to_type(rows.mean(axis=0), restored.dtype)
        return pillow.like(photo, restored) if isinstance(photo, Image.Image) else restored

    def with_spread(
        self,
        photo: Photo,
        *,
        draws: int = 8,
        steps: int | None = None,
        seed: int = 0,
        bits: int | None = None,
    ) -> tuple[Pixels, Float[np.ndarray, "h w"]]:
        """The restored photo, and the draws' standard deviation (root mean square over R, G, B).

        Without `steps` it takes `STEPS_OF_A_SPREAD` where a draw has one by default.

        Raises:
          UserError: as for a call, fewer than two draws, or a way of sampling that draws nothing.
        """
        pixels = _pixels(photo)
        steps = self._steps_of_a_spread(draws, steps)
        restored = np.empty(pixels.shape, pixel_type(bits) if bits else pixels.dtype)
        spread = np.empty(pixels.shape[:2], np.float32)
        for top, rows in self._rows(pixels, range(draws), steps, seed):
            these = slice(top, top + rows.shape[1])
            restored[these] = to_type(rows.mean(axis=0), restored.dtype)
            spread[these] = drawing.spread(rows)
        return restored, spread

    def sample(
        self,
        photo: Photo,
        *,
        draws: int | None = None,
        steps: int | None = None,
        seed: int = 0,
    ) -> UInt8[np.ndarray, "n h w 3"]:
        """The single draws, rounded to 8 bits."""
        return to_uint8(self.sample_float(photo, draws=draws, steps=steps, seed=seed))

    def sample_float(
        self,
        photo: Photo,
        *,
        draws: int | None = None,
        steps: int | None = None,
        seed: int = 0,
    ) -> Float[np.ndarray, "n h w 3"]:
        """The single draws, in [0, 1]; a draw does not depend on how many others are asked for."""
        return self._whole(_pixels(photo), self._numbers(draws), steps, seed)

    def _numbers(self, draws: int | None) -> range:
        return range(_asked("draws", self.default_draws if draws is None else draws))

    def uncertainty(
        self,
        photo: Photo,
        *,
        draws: int = 8,
        steps: int | None = None,
        seed: int = 0,
    ) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
        """Where the model guesses: the spread of the draws, by pixel and by frequency.

        Returns:
          The standard deviation over draws, root mean square over R, G, B: of the pixels, and of
          the centred spectrum's coefficients.

        Raises:
          UserError: as for `with_spread`, whose number of steps it takes too.
        """
        photo = _pixels(photo)
        steps = self._steps_of_a_spread(draws, steps)
        # One pair in memory at a time: the two parts of `draws.deviations`, the second one about
        # the first pair, so that little is lost when the square of the mean is taken off.
        pairs = draws // 2
        pixels, frequencies = (np.zeros(photo.shape[:2], np.float32) for _ in range(2))
        first = total = np.zeros(photo.shape, np.float32)

        def add(difference: np.ndarray, weight: float) -> None:
            pixels[:] += weight * np.square(difference).mean(axis=-1)
            frequencies[:] += weight * spectral_power(difference)

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

    def _steps_of_a_spread(self, draws: int, steps: int | None) -> int:
        if _asked("draws", draws) < 2:
            raise UserError(f"draws is {draws}; a spread takes at least 2")
        if self.config.sampling.noise_scale == 0:
            raise UserError("noise_scale is 0: every draw is the same photo, and has no spread")
        draws_in_one = not self._engine.method.carries_photos
        if steps is None:
            least = 1 if draws_in_one else STEPS_OF_A_SPREAD
            return self.default_steps if self.default_steps > 1 else least
        if steps == 1 and not draws_in_one:
            raise UserError("one step draws nothing, and has no spread; take 2 or more")
        return steps

    def _whole(
        self, photo: Pixels, draws: Sequence[int], steps: int | None, seed: int
    ) -> Float[np.ndarray, "n h w 3"]:
        """Draws of these numbers."""
        whole = np.empty((len(draws), *photo.shape), np.float32)
        for top, rows in self._rows(photo, draws, steps, seed):
            whole[:, top : top + rows.shape[1]] = rows
        return whole

    def _rows(self, photo: Pixels, draws: Sequence[int], steps: int | None, seed: int) -> Rows:
        """Yields (top, rows of all draws), from top to bottom, in [0, 1]."""
        steps = _asked("steps", self.default_steps if steps is None else steps)
        seed = configuration.from_dict({"seed": seed}, TrainingConfig, "draw").seed
        return self._engine.rows(photo, draws, steps, seed)


def _asked(name: str, value: int) -> int:
    """A field of the sampling as a call asks for it; `UserError` where it is out of its range."""
    asked = configuration.from_dict({name: value}, SamplingConfig, "sampling")
    return int(getattr(asked, name))


def _pixels(photo: Any) -> Pixels:
    """The photo as an array; `UserError` where it is none."""
    if isinstance(photo, Image.Image):
        photo = pillow.to_array(photo)
    if not isinstance(photo, np.ndarray):
        raise UserError(
            f"a photo is an array {_KINDS} or a Pillow image, found "
            f"{type(photo).__name__}; fftdiff_jax.data.images.load_photo reads files"
        )
    known = photo.dtype in (np.uint8, np.uint16) or photo.dtype.kind == "f"
    if photo.ndim != 3 or photo.shape[-1] != 3 or not known:
        raise UserError(f"a photo is an array {_KINDS}, found {photo.dtype} {photo.shape}")
    if 0 in photo.shape:
        raise UserError(f"a photo has pixels, found an array of {photo.shape}")
    if photo.dtype.kind == "f":
        if not (photo.min() >= 0 and photo.max() <= 1):  # not of numbers that are none, either
            raise UserError("a photo of floats lies in [0, 1]; divide whole numbers by the largest")
        return photo.astype(np.float32, copy=False)
    return photo
