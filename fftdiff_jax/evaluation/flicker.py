"""How much restored frames flicker, beside the rainy and the clean ones."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from fftdiff_jax.data import rain
from fftdiff_jax.data.rain_styles import RainStyle

TONE = 16  # pixels of a square whose mean is its tone


class Flicker(NamedTuple):
    """Mean absolute differences of successive frames, in grey levels.

    Attributes:
      change: of the frames themselves; most of it is what moves.
      error: of what is wrong with them, which is what is seen to flicker.
      tone: of what is wrong with the means of their squares of `TONE` pixels.
      psnr: of the frames against the clean ones, in decibels over R, G and B.
    """

    change: float
    error: float
    tone: float
    psnr: float


def flicker(
    frames: Sequence[UInt8[np.ndarray, "h w 3"]], clean: Sequence[UInt8[np.ndarray, "h w 3"]]
) -> Flicker:
    """Compares two frames or more with the clean ones, in order."""
    shown = [frame.astype(np.float32) for frame in frames]
    errors = [frame - truth for frame, truth in zip(shown, clean, strict=True)]
    square = float(np.mean([np.square(error).mean() for error in errors]))
    return Flicker(
        _change(shown),
        _change(errors),
        _change([_tones(error) for error in errors]),
        10 * math.log10(255**2 / square) if square else math.inf,
    )


def moving_rain(
    clean: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator, style: RainStyle, count: int
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yields a still photo in rain that falls: each layer by its streaks' length and more a frame.

    Args:
      clean: of a size that rain tiles on: both sides have no prime factor above 5.
      rng: where the randomness comes from.
      style: of layers that are drawn, not photographed.
      count: of frames.
    """
    layers = []
    for layer in style.layers:
        field = rain.rain_field(rng, clean.shape[:2], dataclasses.replace(style, layers=(layer,)))
        speed, angle = layer.length * rng.uniform(0.8, 1.6), math.radians(layer.angle)
        layers.append((field.coverage, speed * math.cos(angle), speed * math.sin(angle)))
    for number in range(count):
        through = np.ones(clean.shape[:2], np.float32)
        for coverage, down, right in layers:
            fallen = np.roll(coverage, (round(number * down), round(number * right)), (0, 1))
            through *= 1 - fallen / np.float32(255)
        coverage = (255 * (1 - through) + 0.5).astype(np.uint8)
        field = rain.RainField(style, coverage, float(coverage.mean() / 255))
        yield rain.blend_rain(clean, field)


def _change(frames: Iterable[Float[np.ndarray, "h w 3"]]) -> float:
    return float(np.mean([np.abs(b - a).mean() for a, b in itertools.pairwise(frames)]))


def _tones(frame: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "r c 3"]:
    height, width = (length // TONE for length in frame.shape[:2])
    cut = frame[: height * TONE, : width * TONE]
    return cut.reshape(height, TONE, width, TONE, 3).mean(axis=(1, 3))
