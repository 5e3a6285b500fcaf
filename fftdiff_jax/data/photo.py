"""A photo that was read from a file, with all that is needed to write another one like it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Shaped, UInt8, UInt16

_STRIP_ROWS = 256


@dataclasses.dataclass(frozen=True)
class Description:
    """What a file says of its picture, without what says how the picture is stored.

    Attributes:
      exif: the EXIF block, upright, without the mark before it.
      xmp: the XMP packet, upright.
      iptc: the IPTC records (IIM).
      icc: the colour profile.
      comment: of a JPEG, GIF or the like.
      resolution: dots an inch in x and y.
      blocks: name and content of blocks that only this format has, in their order: segments of a
        JPEG, chunks of a PNG, boxes of a JPEG 2000.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    icc: bytes | None = None
    comment: bytes | None = None
    resolution: tuple[float, float] | None = None
    blocks: tuple[tuple[bytes, bytes], ...] = ()


@dataclasses.dataclass(frozen=True)
class Stored:
    """How a TIFF stores brightness: black is `black`, full brightness `white`, of type `dtype`."""

    dtype: str
    black: int
    white: int

    def coarseness(self, top: int) -> int:
        """How far a level out of 0 to `top` may be from the one that is stored of it."""
        return -(-top // (2 * (self.white - self.black))) if self.white - self.black < top else 0


@dataclasses.dataclass(frozen=True)
class Photo:
    """A decoded photo.

    Attributes:
      pixels: upright RGB over the full range of their type, uint8 or uint16.
      alpha: upright opacity of the same type, or None where every pixel is opaque by format.
      grey: the file held one channel of brightness.
      black: the share of black ink of a file in CMYK, of the same type.
      file_format: Pillow's name of the format ("JPEG", "PNG", ...).
      lossless: the file held the very pixels; of formats that can do both.
      stored: the range of a TIFF's numbers, where that is not the whole one of uint8 or uint16.
      description: what else the file said.
      notes: what of the file is not kept, in words.
      warnings: what libraries said of the file.
    """

    pixels: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]
    alpha: Shaped[np.ndarray, "h w"] | None = None
    grey: bool = False
    black: Shaped[np.ndarray, "h w"] | None = None
    file_format: str = "PNG"
    lossless: bool = False
    stored: Stored | None = None
    description: Description = Description()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def bits(self) -> int:
        """8 or 16 a channel."""
        return 8 * self.pixels.dtype.itemsize


def turned(array: Shaped[np.ndarray, "h w *c"], orientation: int) -> Shaped[np.ndarray, "h2 w2 *c"]:
    """The upright picture of one stored with an EXIF orientation of 1 to 8."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def in_strips(
    function: Callable[..., np.ndarray], *arrays: Shaped[np.ndarray, "h ..."]
) -> Shaped[np.ndarray, "h ..."]:
    """`function` over some rows at a time, so that its float values never fill the memory."""
    parts = [
        function(*(array[top : top + _STRIP_ROWS] for array in arrays))
        for top in range(0, len(arrays[0]), _STRIP_ROWS)
    ]
    return np.concatenate(parts)


def as_depth(
    values: Shaped[np.ndarray, "*s"], bits: int, white: int | None = None
) -> Shaped[np.ndarray, "*s"]:
    """Whole numbers from 0 to `white` (left out: the type's largest) over the range of 8 or 16."""
    top, white = 2**bits - 1, white or int(np.iinfo(values.dtype).max)
    dtype = np.dtype(f"u{bits // 8}")
    if white == top:
        return values.astype(dtype, copy=False)

    def scaled(some: np.ndarray) -> np.ndarray:
        return ((some.astype(np.uint64) * np.uint64(top) + white // 2) // white).astype(dtype)

    return in_strips(scaled, values)


def rounded(photo: Float[np.ndarray, "h w *c"], bits: int = 8) -> Shaped[np.ndarray, "h w *c"]:
    """Values in [0, 1] as whole numbers of 8 or 16 bits."""
    return (np.clip(photo, 0, 1) * (2**bits - 1) + 0.5).astype(f"u{bits // 8}")
