"""What many parts do with a photo's pixels: to whole numbers, the middle of it, equal sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from fftdiff_jax.errors import UserError


def to_uint8(photo: Float[np.ndarray, "*n h w 3"]) -> UInt8[np.ndarray, "*n h w 3"]:
    """Rounds photos in [0, 1] to the 8-bit values they are saved with."""
    return to_bits(photo, 8)


def to_bits(photo: Float[np.ndarray, "*n h w 3"], bits: int) -> Shaped[np.ndarray, "*n h w 3"]:
    """Rounds photos in [0, 1] to whole numbers of 8 bits (uint8) or 16 (uint16).

    Raises:
      UserError: `bits` is another number, or the photo is not finite: it would come out black.
    """
    if not np.isfinite(photo).all():
        raise UserError("a photo that is not finite (NaN or infinite) cannot be saved or scored")
    return np.round(np.clip(photo, 0, 1) * (2**bits - 1)).astype(pixel_type(bits))


def to_type(photo: Float[np.ndarray, "*n h w 3"], dtype: Any) -> Shaped[np.ndarray, "*n h w 3"]:
    """Photos in [0, 1] as uint8 or uint16, rounded, or as floats of a type."""
    dtype = np.dtype(dtype)
    return photo.astype(dtype) if dtype.kind == "f" else to_bits(photo, 8 * dtype.itemsize)


def to_unit(photo: Shaped[np.ndarray, "*n h w 3"]) -> Float[np.ndarray, "*n h w 3"]:
    """Photos of uint8, uint16 or floats in [0, 1] as float32 in [0, 1]."""
    if photo.dtype.kind == "f":
        return photo.astype(np.float32, copy=False)
    return photo.astype(np.float32) / np.float32(np.iinfo(photo.dtype).max)


def pixel_type(bits: int) -> type[np.uint8 | np.uint16]:
    """The type of whole numbers of 8 or 16 bits.

    Raises:
      UserError: `bits` is another number.
    """
    if bits not in (8, 16):
        raise UserError(f"bits is {bits}; a photo is rounded to 8 or 16")
    return np.uint8 if bits == 8 else np.uint16


def centre_crop(photo: Shaped[np.ndarray, "h w c"], side: int) -> Shaped[np.ndarray, "h2 w2 c"]:
    """The middle of a photo, at most `side` pixels high and wide."""
    top, left = (max(0, (length - side) // 2) for length in photo.shape[:2])
    return photo[top : top + side, left : left + side]


def require_equal_sizes(
    clean: tuple[int, ...],
    rainy: tuple[int, ...],
    names: tuple[str, str] = ("the clean photo", "the rainy one"),
) -> None:
    """Raises `UserError` where two photos, with shapes (h, w, ...), differ in height or width."""
    if clean[:2] != rainy[:2]:
        raise UserError(
            f"{names[0]} is {clean[1]} x {clean[0]} and {names[1]} {rainy[1]} x {rainy[0]} pixels; "
            "they must be equal"
        )
