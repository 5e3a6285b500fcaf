"""Restorer: weights and a photo of any size in, a clean photo out."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, overload

import numpy as np
from jaxtyping import Float, PyTree, Shaped, UInt8, UInt16
from PIL import Image

from fftdiff_jax import config as configuration
from fftdiff_jax.config import Config, SamplingConfig, TrainingConfig
from fftdiff_jax.errors import UserError
from fftdiff_jax.method.method import make_method
from fftdiff_jax.metrics import draws as drawing
from fftdiff_jax.metrics.power import spectral_power
from fftdiff_jax.pixels import pixel_type, to_type, to_uint8, to_unit
from fftdiff_jax.restore import blending, pillow
from fftdiff_jax.restore.engine import Engine, Strip
from fftdiff_jax.restore.tiling import Watch

DRAWS_OF_A_SPREAD = 8  # where no number is asked for

# Pixels over the full range of uint8 or uint16, or floats in [0, 1].
Pixels = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"] | Float[np.ndarray, "h w 3"]
# What may be restored: an array, or an image as Pillow opens it.
Photo = Pixels | Image.Image
_KINDS = "of uint8 or uint16 (h, w, 3), or of floats in [0, 1],"


@dataclasses.dataclass(frozen=True)
class Variants:
    """What several draws of one photo show."""

    best: Pixels
    draws: Shaped[np.ndarray, "n h w 3"]  # of the same type
    spread: Float[np.ndarray, "h w"]  # see `Restorer.with_spread`


class Restorer:
    """Removes rain from photos: `restorer(photo)`.

    Attributes:
      params: the weights.
      config: the experiment that trained them.
      step: how many training steps they have seen; 0: a file of weights, which does not say it.
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
        self._watch: Watch = lambda tiles: None
        self._strength = 1.0
        self._protect: blending.Mask | None = None

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
        """The same weights with other defaults of sampling, such as steps=4, realism=0.5.

        Raises:
          UserError: there is no such field, or it cannot have this value.
        """
        asked = dataclasses.asdict(self.config.sampling) | changes
        sampling = configuration.from_dict(asked, SamplingConfig, "sampling")
        config = dataclasses.replace(self.config, sampling=sampling)
        other = Restorer(self.params, config, self.step, self.name).watched(self._watch)
        other._strength, other._protect = self._strength, self._protect
        return other

    def watched(self, watch: Watch) -> Restorer:
        """The same restorer and programs; `watch` hears of every batch of tiles (`tiling.Tiles`).

        What it raises ends the restoration.
        """
        other = copy.copy(self)
        other._watch = watch
        return other

    def blended(self, strength: float = 1.0, protect: Any = None) -> Restorer:
        """The same restorer and programs; of what it does to photos, so much is taken over.

        Draws are blended in the same way, so where the photo stays as it is they do not differ.

        Args:
          strength: from 0, photos stay as they are, to 1, all is taken over.
          protect: a mask, which is fitted to each photo's size: white (255 or 1.0) stays exactly
            as it is, black is restored, grey is in between. An array (h, w) or (h, w, 3) of bool,
            uint8, uint16 or floats in [0, 1], or a Pillow image; None: nothing is protected.

        Raises:
          UserError: the strength is out of its range, or the mask is none.
        """
        other = copy.copy(self)
        other._strength = blending.require_strength(strength)
        other._protect = None if protect is None else blending.to_mask(protect)
        return other

    def __repr__(self) -> str:
        trained = f", step {self.step}" if self.step else ""  # a file of weights does not know
        return f"Restorer({self.name!r}{trained})"

    def _repr_html_(self) -> str:
        from fftdiff_jax.restore.notebook import restorer_html  # Matplotlib, late

        return restorer_html(self)

    @property
    def default_steps(self) -> int:
        """Steps a draw when none are asked for."""
        return self.config.sampling.steps

    @property
    def default_draws(self) -> int:
        """Draws whose mean is the restored photo when no number is asked for; 0: none are drawn."""
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
        """The restored photo: the first estimate, or the mean of `draws` draws of `steps` steps.

        The first estimate (draws=0) is the best single photo. A draw is one that may be true; the
        mean of many comes near the first estimate again. An array comes back as one of its own
        type, or rounded to `bits`, 8 or 16, over the full range of uint8 or uint16; a Pillow image
        comes back as an image. Beyond photo and result, memory depends on the photo's width alone.

        Raises:
          UserError: not an RGB photo, a number of draws or steps or a seed out of its range, draws
            of weights that were not trained for them, or a photo that is not finite.
        """
        pixels = _pixels(photo)
        restored = _like(pixels, bits)
        for strip in self._strips(pixels, self._count(draws), steps, seed):
            restored[strip.rows] = to_type(strip.mean, restored.dtype)
        return pillow.like(photo, restored) if isinstance(photo, Image.Image) else restored

    def with_spread(
        self,
        photo: Photo,
        *,
        draws: int = DRAWS_OF_A_SPREAD,
        steps: int | None = None,
        seed: int = 0,
        bits: int | None = None,
    ) -> tuple[Pixels, Float[np.ndarray, "h w"]]:
        """The best photo, and the draws' standard deviation (root mean square over R, G, B).

        The best photo is the first estimate; the mean of the draws where the weights have none.

        Raises:
          UserError: as for a call, or fewer than two draws.
        """
        pixels = _pixels(photo)
        restored = _like(pixels, bits)
        spread = np.empty(pixels.shape[:2], np.float32)
        for strip in self._strips(pixels, _several(draws), steps, seed):
            restored[strip.rows] = to_type(strip.best, restored.dtype)
            spread[strip.rows] = drawing.spread(strip.draws)
        return restored, spread

    def variants(
        self,
        photo: Photo,
        *,
        draws: int = DRAWS_OF_A_SPREAD,
        shown: int = 3,
        steps: int | None = None,
        seed: int = 0,
    ) -> Variants:
        """The best photo, those of several draws that differ most, and where they differ.

        Memory holds all draws, as the photo's own type.

        Raises:
          UserError: as for `with_spread`.
        """
        pixels, count = _pixels(photo), _several(draws)
        restored = _like(pixels)
        spread = np.empty(pixels.shape[:2], np.float32)
        drawn = np.stack([restored] * count)
        squares = np.zeros((count, count))
        for strip in self._strips(pixels, count, steps, seed):
            restored[strip.rows] = to_type(strip.best, restored.dtype)
            spread[strip.rows] = drawing.spread(strip.draws)
            drawn[:, strip.rows] = to_type(strip.draws, restored.dtype)
            for i, j in itertools.combinations(range(count), 2):
                squares[i, j] += np.square(strip.draws[i] - strip.draws[j]).sum()
        numbers = drawing.most_different(squares + squares.T, shown)
        return Variants(restored, drawn[numbers], spread)

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
        """The single draws, in [0, 1]; with draws=0 the first estimate, as if it were one.

        A draw does not depend on how many others are asked for.
        """
        pixels, count = _pixels(photo), self._count(draws)
        whole = np.empty((max(count, 1), *pixels.shape), np.float32)
        for strip in self._strips(pixels, count, steps, seed):
            whole[:, strip.rows] = strip.draws if count else strip.first
        return whole

    def uncertainty(
        self,
        photo: Photo,
        *,
        draws: int = DRAWS_OF_A_SPREAD,
        steps: int | None = None,
        seed: int = 0,
    ) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
        """Where the model guesses: the spread of the draws, by pixel and by frequency.

        Returns:
          The standard deviation over draws, root mean square over R, G, B: of the pixels, and of
          the centred spectrum's coefficients.

        Raises:
          UserError: as for `with_spread`.
        """
        found = self.sample_float(photo, draws=_several(draws), steps=steps, seed=seed)
        mean = found.mean(axis=0)
        power = sum(spectral_power(draw - mean) for draw in found) / (draws - 1)
        return drawing.spread(found), np.sqrt(power)

    def require_draws(self) -> None:
        """Raises `UserError` where the weights were not trained for draws."""
        if self._engine.method.denoiser is None:
            raise UserError(
                f"{self.name or 'the weights'}: were trained for the first estimate alone and draw "
                "nothing (diffusion.draw_share was 0)"
            )

    def _count(self, draws: int | None) -> int:
        count = _asked("draws", self.default_draws if draws is None else draws)
        if count == 0 and self._engine.method.first is None:
            raise UserError("draws is 0: these weights have no first estimate; take 1 or more")
        return count

    def _strips(self, photo: Pixels, draws: int, steps: int | None, seed: int) -> Iterator[Strip]:
        """Strips of the restored photo, from top to bottom."""
        steps = _asked("steps", self.default_steps if steps is None else steps)
        seed = configuration.from_dict({"seed": seed}, TrainingConfig, "draw").seed
        if draws:
            self.require_draws()
        strips = self._engine.strips(photo, range(draws), steps, seed, self._watch)
        if self._strength == 1 and self._protect is None:
            return strips
        mask = self._protect
        if mask is not None:
            mask = blending.fitted(mask, *photo.shape[:2])
        return (
            blending.blend(strip, to_unit(photo[strip.rows]), self._strength, mask)
            for strip in strips
        )


def _several(draws: int) -> int:
    if _asked("draws", draws) < 2:
        raise UserError(f"draws is {draws}; a spread takes at least 2")
    return draws


def _asked(name: str, value: int) -> int:
    """A field of the sampling as a call asks for it; `UserError` where it is out of its range."""
    asked = configuration.from_dict({name: value}, SamplingConfig, "sampling")
    return int(getattr(asked, name))


def _like(photo: Pixels, bits: int | None = None) -> Pixels:
    """An array for a restored photo: of its type, or of so many bits."""
    return np.empty(photo.shape, pixel_type(bits) if bits else photo.dtype)


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
