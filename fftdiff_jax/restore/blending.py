"""How much of a restoration is taken over: a strength for all of it, a mask of what stays as it is.

The blend is one of pixels. One of spectra, by magnitudes and phases, looks the same
(docs/safety.md), and needs the whole photo at once.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from fftdiff_jax.errors import UserError
from fftdiff_jax.pixels import to_uint8, to_unit
from fftdiff_jax.restore import pillow
from fftdiff_jax.restore.engine import Strip

Mask = UInt8[np.ndarray, "h w"]


def require_strength(strength: float) -> float:
    """The strength; `UserError` unless it is a number from 0 to 1."""
    number = isinstance(strength, int | float) and not isinstance(strength, bool)
    if not number or not (math.isfinite(strength) and 0 <= strength <= 1):
        raise UserError(
            f"strength is {strength!r}; it goes from 0 (the photo as it is) to 1 (restored)"
        )
    return float(strength)


def to_mask(mask: Any) -> Mask:
    """A mask of any kind as 8 bits of grey; colours count as their mean.

    Args:
      mask: a Pillow image, or an array (h, w) or (h, w, 3) of bool, uint8, uint16 or floats in
        [0, 1].

    Raises:
      UserError: it is something else.
    """
    if isinstance(mask, Image.Image):
        mask = pillow.to_array(mask)
    if not isinstance(mask, np.ndarray):
        raise UserError(f"a mask is an array or a Pillow image, found {type(mask).__name__}")
    if mask.dtype == np.bool_:
        mask = mask.astype(np.float32)
    known = mask.dtype in (np.uint8, np.uint16) or mask.dtype.kind == "f"
    shaped = mask.ndim == 2 or (mask.ndim == 3 and mask.shape[-1] == 3)
    if not known or not shaped or 0 in mask.shape:
        raise UserError(
            "a mask is an array of bool, uint8, uint16 or floats in [0, 1], (h, w) or (h, w, 3), "
            f"found {mask.dtype} {mask.shape}"
        )
    if mask.ndim == 3:
        mask = to_unit(mask).mean(axis=-1)
    return mask if mask.dtype == np.uint8 else to_uint8(to_unit(mask))


def fitted(mask: Mask, height: int, width: int) -> Mask:
    """The mask in a photo's size."""
    if mask.shape == (height, width):
        return mask
    image = Image.fromarray(mask)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def blend(
    strip: Strip, rainy: Float[np.ndarray, "r w 3"], strength: float, mask: Mask | None
) -> Strip:
    """Takes the restored rows over into the rainy ones, both in [0, 1].

    Args:
      strip: the restored rows.
      rainy: the same rows of the photo.
      strength: from 0 to 1.
      mask: of the photo's size; 255 is left untouched.
    """
    share: Float[np.ndarray, "r w 1"] | float = strength
    if mask is not None:
        share = np.float32(strength) * (1 - mask[strip.rows, :, None] / np.float32(255))
    first = None if strip.first is None else rainy + share * (strip.first - rainy)
    return Strip(strip.top, first, rainy + share * (strip.draws - rainy))
