"""Colours of files that are no RGB: YCbCr, L*a*b* and inks, to RGB and, for inks, back."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped

from fftdiff_jax.data.photo import as_depth, in_strips

_D50 = (0.9642, 1.0, 0.8249)
# From XYZ under D50 to linear sRGB, adapted after Bradford (ICC's sRGB profile, inverted).
_TO_SRGB = (
    (3.1338561, -1.6168667, -0.4906146),
    (-0.9787684, 1.9161415, 0.0334540),
    (0.0719453, -0.2289914, 1.4052427),
)


def from_ycbcr(
    samples: Shaped[np.ndarray, "h w 3"],
    luma: tuple[float, ...],
    levels: tuple[float, ...],
) -> Float[np.ndarray, "h w 3"]:
    """RGB in [0, 1] from 8-bit YCbCr.

    `luma` holds the weights of red, green and blue in Y, `levels` what is black (or no colour) and
    white of Y, Cb and Cr (TIFF 6.0, section 21).
    """
    y, cb, cr = np.moveaxis(samples.astype(np.float32), -1, 0)
    red, green, blue = luma
    y = (y - levels[0]) / max(levels[1] - levels[0], 1)
    cb, cr = (
        (c - levels[i]) / max(levels[i + 1] - levels[i], 1) * np.float32(127 / 255)
        for c, i in ((cb, 2), (cr, 4))
    )
    r, b = y + (2 - 2 * red) * cr, y + (2 - 2 * blue) * cb
    g = (y - red * r - blue * b) / max(green, 1e-3)
    return np.stack([r, g, b], axis=-1)


def from_lab(lab: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """sRGB in [0, 1], not clipped above, from L* in [0, 100] and a*, b* under D50."""
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * np.array(_D50)
    linear = np.clip(xyz @ np.array(_TO_SRGB).T, 0, None)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def photo_of_inks(
    inks: Shaped[np.ndarray, "h w 3"], black: Shaped[np.ndarray, "h w"]
) -> Shaped[np.ndarray, "h w 3"]:
    """RGB from cyan, magenta and yellow, and black, over the whole range of their type."""
    top = np.float32(np.iinfo(inks.dtype).max)

    def convert(some: np.ndarray, ink: np.ndarray) -> np.ndarray:
        return ((top - some) * ((top - ink) / top)[..., None] + np.float32(0.5)).astype(inks.dtype)

    return in_strips(convert, inks, black)


def inks_of_photo(
    photo: Shaped[np.ndarray, "h w 3"], black: Shaped[np.ndarray, "h w"]
) -> Shaped[np.ndarray, "h w 4"]:
    """Cyan, magenta, yellow and black that give this RGB with about as much black as is said.

    Where a pixel is brighter than its black ink allows, there is less of that.
    """
    top = np.float32(np.iinfo(photo.dtype).max)
    black = as_depth(black, 8 * photo.dtype.itemsize)

    def convert(some: np.ndarray, ink: np.ndarray) -> np.ndarray:
        ink = np.minimum(ink.astype(np.float32), top - some.max(axis=-1))
        inks = top - some * (top / np.maximum(top - ink, 1))[..., None]
        both = np.concatenate([np.clip(inks, 0, top), ink[..., None]], axis=-1)
        return (both + np.float32(0.5)).astype(photo.dtype)

    return in_strips(convert, photo, black)
