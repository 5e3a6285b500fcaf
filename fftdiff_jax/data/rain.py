"""Rain rendered onto clean photos, from a drizzle to five directions of a storm.

Rain is a sum of layers, each one a field of oriented streaks between 0 and 1. Two ways of making a
field cover what data sets of rain look like: *sparse* streaks (impulses at random pixels, blurred
along a line; Garg and Nayar's drops seen during an exposure, Rain100L, Rain100H) and *texture*
(white noise, blurred along a line, then cut at a level: the recipe of image editors behind Rain800
and Rain1400). The blur is applied in the frequency domain, where a soft line of length L, width s
and direction d is sinc(L f.d) exp(-2 pi^2 s^2 |f x d|^2): any angle at no cost, and fields that
tile. All lengths are in pixels.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
from jaxtyping import Float32, UInt8

from fftdiff_jax.data.rain_styles import (
    KINDS,
    PHOTOGRAPHED,
    RainStyle,
    StreakLayer,
    sample_style,
)
from fftdiff_jax.data.streak_masks import through_streaks
from fftdiff_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class RainField:
    """Rain before it meets a photo.

    Attributes:
      style: what it looks like.
      coverage: how much of every pixel streaks cover, 0 to 255.
      mean: of the coverage, 0 to 1, over the whole rain that a cut was taken from.
    """

    style: RainStyle
    coverage: UInt8[np.ndarray, "h w"]
    mean: float


def render_rain(
    clean: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator, style: RainStyle | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Returns the photo in the rain; without a style one is drawn.

    Raises:
      UserError: the photo is not RGB with 8 bits.
    """
    if clean.ndim != 3 or clean.shape[2] != 3 or clean.dtype != np.uint8:
        raise UserError(f"rain is rendered on uint8 (h, w, 3), found {clean.dtype} {clean.shape}")
    style = sample_style(rng) if style is None else style
    return blend_rain(clean, rain_field(rng, clean.shape[:2], style))


def rain_field(
    rng: np.random.Generator, shape: tuple[int, int], style: RainStyle, streaks_dir: str = ""
) -> RainField:
    """Renders the layers of a style on (h, w) pixels; photographed streaks come from a folder."""
    height, width = (_fast_length(max(n, 16)) for n in shape)
    through = np.ones((height, width), np.float32)
    for layer in style.layers:
        through *= 1.0 - layer.opacity * _streaks(rng, (height, width), layer)
    if style.streaks:
        side = max(height, width)
        through *= through_streaks(rng, side, style.streaks, streaks_dir)[:height, :width]
    coverage = (255.0 * (1.0 - through) + 0.5).astype(np.uint8)
    return RainField(style, coverage[: shape[0], : shape[1]], float(coverage.mean() / 255.0))


def blend_rain(
    clean: UInt8[np.ndarray, "h w 3"], rain: RainField, gain: float = 1.0
) -> UInt8[np.ndarray, "h w 3"]:
    """Lays rain of the photo's size over it; `gain` multiplies the streaks' opacity."""
    style = rain.style
    light = 255.0 * style.brightness * np.asarray(style.tint, np.float32)
    photo = clean.astype(np.float32)
    if style.saturation != 1.0:
        grey = photo.mean(axis=2, keepdims=True)
        photo = grey + style.saturation * (photo - grey)
    if style.contrast != 1.0 or style.shade:
        photo = (photo - 127.5) * style.contrast + 127.5 - style.shade * rain.mean * light
    if style.veil:
        photo += style.veil * (0.85 * light - photo)
    coverage = np.minimum(rain.coverage * np.float32(gain / 255.0), 1.0)[..., None]
    if style.blend == "add":
        photo += coverage * light
    elif style.blend == "cover":
        photo += coverage * (light - photo)
    else:
        photo += coverage * light * (1.0 - photo / 255.0)
    return (np.clip(photo, 0.0, 255.0) + 0.5).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class RainBank:
    """Rain for many small crops at little cost: cuts from tiles, each for many examples.

    Example i of the stream takes its tile from a set of `tiles` that changes every `refresh`
    examples, so that a tile costs little an example and yet no rain lasts for the whole training.
    What example i gets is a pure function of (seed, i).

    Attributes:
      seed: of the tiles.
      tiles: how many tiles are in use at a time.
      refresh: examples between two sets of tiles.
      toned: fraction of the rain that changes the photo's tone too.
      streaks_dir: a folder of masks of photographed streaks, one more kind of rain; empty: none.
      streaks: fraction of the rain that is of that kind.
    """

    seed: int
    tiles: int = 96
    refresh: int = 16_384
    toned: float = 0.0
    streaks_dir: str = ""
    streaks: float = 0.25

    def render(
        self, clean: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator, example: int
    ) -> UInt8[np.ndarray, "h w 3"]:
        """Returns the crop in the rain of example number `example`."""
        height, width = clean.shape[:2]
        side = max(256, 1 << (max(height, width) - 1).bit_length())
        number = example // self.refresh * self.tiles + int(rng.integers(self.tiles))
        tile = _tile(self, number, side)
        top, left = rng.integers(side, size=2)
        rows = (top + np.arange(height)) % side
        columns = (left + np.arange(width)) % side
        if rng.random() < 0.5:
            columns = columns[::-1]
        coverage = tile.coverage[rows[:, None], columns]
        cut = dataclasses.replace(tile, coverage=coverage)
        return blend_rain(clean, cut, gain=float(rng.uniform(0.7, 1.2)))


@functools.lru_cache(maxsize=256)
def _tile(bank: RainBank, number: int, side: int) -> RainField:
    rng = np.random.default_rng((0x7A11, bank.seed, number))
    kind = KINDS[int(rng.integers(len(KINDS)))]
    if bank.streaks_dir and rng.random() < bank.streaks:
        kind = PHOTOGRAPHED
    style = sample_style(rng, kind, bank.toned)
    return rain_field(rng, (side, side), style, bank.streaks_dir)


def _streaks(
    rng: np.random.Generator, shape: tuple[int, int], layer: StreakLayer
) -> Float32[np.ndarray, "h w"]:
    """One layer's field in [0, 1]; it tiles in both directions."""
    variants = 3 if layer.spread > 0 else 1
    angles = layer.angle + layer.spread * rng.standard_normal(variants)
    lengths = layer.length * rng.uniform(0.7, 1.3, variants)
    spectrum = np.zeros((shape[0], shape[1] // 2 + 1), np.complex64)
    for angle, length in zip(angles, lengths, strict=True):
        if layer.texture:
            sources = rng.standard_normal(shape, np.float32)
        else:
            sources = _impulses(rng, shape, layer.density / variants)
            # A streak that does not overlap others peaks at its own strength.
            sources *= length * layer.width * math.sqrt(2.0 * math.pi)
        blur = _line_blur(shape, length, layer.width, angle, layer.fade)
        spectrum += np.fft.rfft2(sources) * blur
    field = np.fft.irfft2(spectrum, s=shape)
    if layer.texture:
        return _cut_at_level(rng, field, layer.density)
    return np.clip(field, 0.0, 1.0, out=field)


def _impulses(
    rng: np.random.Generator, shape: tuple[int, int], density: float
) -> Float32[np.ndarray, "h w"]:
    count = int(rng.poisson(density * shape[0] * shape[1] / 1000.0))
    field = np.zeros(shape, np.float32)
    strengths = rng.uniform(0.35, 1.0, count).astype(np.float32)
    np.add.at(field.reshape(-1), rng.integers(field.size, size=count), strengths)
    return field


def _cut_at_level(
    rng: np.random.Generator, field: Float32[np.ndarray, "h w"], covered: float
) -> Float32[np.ndarray, "h w"]:
    """Keeps the brightest pixels, a fraction `covered` of all, with a soft or a hard shoulder."""
    sample = field.reshape(-1)[:: max(1, field.size // 8192)]
    low, high = np.quantile(sample, (1.0 - covered, 1.0 - covered * rng.uniform(0.02, 0.15)))
    field -= low
    field /= max(float(high - low), 1e-6)
    return np.clip(field, 0.0, 1.0, out=field)


def _fast_length(least: int) -> int:
    """The next length that has no prime factor above 5. (SciPy knows it too, and loads slowly.)"""
    length = least
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1


@functools.lru_cache(maxsize=4)
def _frequencies(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    rows = np.fft.fftfreq(shape[0]).astype(np.float32)[:, None]
    return rows, np.fft.rfftfreq(shape[1]).astype(np.float32)[None, :]


def _line_blur(
    shape: tuple[int, int], length: float, width: float, angle: float, fade: float
) -> Float32[np.ndarray, "h f"]:
    """Transfer function of a soft line of unit mass, whose ends fade."""
    rows, columns = _frequencies(shape)
    down, right = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along = rows * np.float32(down) + columns * np.float32(right)
    across = columns * np.float32(down) - rows * np.float32(right)
    soft = np.exp(
        np.float32(-2.0 * math.pi**2) * ((fade * length * along) ** 2 + (width * across) ** 2)
    )
    return np.sinc(np.float32(0.85 * length) * along).astype(np.float32) * soft
