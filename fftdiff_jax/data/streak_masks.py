"""Photographed rain streaks, laid over each other into rain that tiles.

A mask is a grey picture, streaks bright on black (Garg and Nayar 2006). Each layer of the rain is
one mask, scaled, turned, mirrored and at times out of focus. It fades out towards its borders,
and what leaves the tile on one side comes in on the other.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from PIL import Image, ImageFilter

from fftdiff_jax.data.images import load_photo
from fftdiff_jax.errors import UserError

_KINDS_OF_FILE = (".jpg", ".jpeg", ".png")
_FADE = 0.08  # of a side, at each border


@functools.lru_cache(maxsize=4)
def mask_paths(folder: str) -> tuple[str, ...]:
    """The masks of a folder, by name.

    Raises:
      UserError: the folder cannot be read or holds no picture.
    """
    try:
        files = sorted(Path(folder).expanduser().iterdir())
    except OSError as error:
        raise UserError(f"data.streaks_dir: {folder}: {error.strerror or error}") from error
    paths = tuple(str(path) for path in files if path.suffix.lower() in _KINDS_OF_FILE)
    if not paths:
        raise UserError(f"data.streaks_dir: {folder} holds no picture")
    return paths


def through_streaks(
    rng: np.random.Generator, side: int, opacities: Sequence[float], folder: str
) -> Float32[np.ndarray, "s s"]:
    """The share of light that passes layers of streaks, on a square that tiles."""
    paths = mask_paths(folder)
    through = np.ones((side, side), np.float32)
    lean = rng.normal(0.0, 12.0)  # one wind for all layers
    for opacity in opacities:
        path = paths[int(rng.integers(len(paths)))]
        angle = lean + rng.normal(0.0, 3.0)
        scale, blur = rng.uniform(0.8, 1.7), max(0.0, rng.normal(0.0, 0.8))
        layer = _layer(path, side, scale, angle, blur, mirrored=bool(rng.random() < 0.5))
        down, right = rng.integers(side, size=2)
        through *= 1.0 - min(opacity, 1.0) * np.roll(layer, (int(down), int(right)), (0, 1))
    return through


def _layer(
    path: str, side: int, scale: float, angle: float, blur: float, *, mirrored: bool
) -> Float32[np.ndarray, "s s"]:
    mask = Image.fromarray(load_photo(path)).convert("L")
    if mirrored:
        mask = mask.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    size = (round(mask.width * scale), round(mask.height * scale))
    mask = mask.resize(size, Image.Resampling.BILINEAR)
    mask = mask.rotate(angle, Image.Resampling.BILINEAR)
    if blur > 0.3:
        mask = mask.filter(ImageFilter.GaussianBlur(blur))
    field = np.asarray(mask, np.float32) / 255.0
    height, width = (min(length, side) for length in field.shape)
    top, left = (field.shape[0] - height) // 2, (field.shape[1] - width) // 2
    field = field[top : top + height, left : left + width]
    placed = np.zeros((side, side), np.float32)
    placed[:height, :width] = field * _fade(height)[:, None] * _fade(width)[None, :]
    return placed


def _fade(length: int) -> Float32[np.ndarray, " n"]:
    steps = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    return np.minimum(steps / (_FADE * length), 1.0).astype(np.float32)
