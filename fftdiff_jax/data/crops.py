"""Square crops of a pair: cut, scaled, turned and toned alike."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

# Fractions of crops that are transposed. Rain falls, so quarter turns of a rainy photo show what no
# photo shows; a few teach that the direction is not always the same. A clean photo can be turned
# freely before rain is rendered.
TURNED_RAINY = 0.1
TURNED_CLEAN = 0.5


def cut_crop(
    photos: Sequence[UInt8[np.ndarray, "h w 3"]],
    size: int,
    rng: np.random.Generator,
    *,
    augment: bool = True,
    turned: float = TURNED_RAINY,
    rescale: float = 1.0,
) -> list[UInt8[np.ndarray, "s s 3"]]:
    """Cuts the same random square from photos of one size, flipped and turned alike.

    Args:
      photos: of the same height and width, neither less than `size`.
      size: side of the square in pixels.
      rng: where the randomness comes from; it is used the same way whatever is cut.
      augment: flip each way in half of the cases, and transpose in the fraction `turned` of them.
      turned: fraction of transposed crops, 0 to 1; with a flip that is a quarter turn.
      rescale: the squares are enlarged or shrunk by up to this factor, evenly on a log scale, as
        far as the photos are large enough.

    Returns:
      The squares, in the order of `photos`, as arrays of their own.
    """
    height, width = photos[0].shape[:2]
    side = size
    if rescale != 1.0:
        bound = math.log(rescale)
        side = min(round(size * math.exp(rng.uniform(-bound, bound))), height, width)
    top = int(rng.integers(height - side + 1))
    left = int(rng.integers(width - side + 1))
    down, across, turn = rng.random(3) < (0.5, 0.5, turned)
    crops = [_resize(photo[top : top + side, left : left + side], size) for photo in photos]
    if augment:
        crops = [crop[:: -1 if down else 1, :: -1 if across else 1] for crop in crops]
        if turn:
            crops = [crop.transpose(1, 0, 2) for crop in crops]
    return [np.ascontiguousarray(crop) for crop in crops]


def change_tone(
    photos: Sequence[UInt8[np.ndarray, "h w 3"]], rng: np.random.Generator
) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Changes exposure, gamma and the balance of colours of photos, by one curve for all."""
    gamma = math.exp(rng.normal(0.0, 0.25))
    gains = rng.uniform(0.7, 1.1) * np.exp(rng.normal(0.0, 0.08, 3))
    levels = np.arange(256) / 255.0
    curves = 255.0 * np.minimum(gains[:, None] * levels**gamma, 1.0)
    table = (curves.T + 0.5).astype(np.uint8)
    return [np.stack([table[photo[..., c], c] for c in range(3)], axis=-1) for photo in photos]


def save_as_jpeg(
    photo: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """The photo as a JPEG of quality 40 to 95 shows it, with blocks that start anywhere."""
    top, left = rng.integers(8, size=2)
    padded = np.pad(photo, ((top, 0), (left, 0), (0, 0)), mode="edge")
    file = io.BytesIO()
    subsampling = int(rng.choice((0, 2)))  # 4:4:4 and 4:2:0, what cameras and web sites write
    Image.fromarray(padded).save(
        file, "JPEG", quality=int(rng.integers(40, 96)), subsampling=subsampling
    )
    with Image.open(file, formats=("JPEG",)) as saved:
        return np.ascontiguousarray(np.asarray(saved)[top:, left:])


def _resize(photo: UInt8[np.ndarray, "h h 3"], side: int) -> UInt8[np.ndarray, "s s 3"]:
    if photo.shape[0] == side:
        return photo
    picture = Image.fromarray(np.ascontiguousarray(photo))
    return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))
