"""Photos in and out of files: every common kind of picture becomes upright 8-bit RGB, and back."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8, UInt16
from PIL import Image, ImageOps

from fftdiff_jax.data.deep_formats import write_deep_png, write_deep_tiff
from fftdiff_jax.data.opened import Opened, UnusableError
from fftdiff_jax.errors import UserError
from fftdiff_jax.files import replacing

_ORIENTATION = 0x0112
_BITS_PER_SAMPLE = 258
_STRIP_ROWS = 256
_SIXTEEN_BIT_GREY = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_SUFFIXES = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".tif": "TIFF",
    ".tiff": "TIFF", ".webp": "WEBP", ".bmp": "BMP", ".ppm": "PPM", ".gif": "GIF",
}  # fmt: skip
PHOTO_SUFFIXES = tuple(_SUFFIXES)


@dataclasses.dataclass(frozen=True)
class Photo:
    """A decoded photo, and what is needed to write another one like it.

    Attributes:
      pixels: upright RGB, 0 to 255.
      alpha: upright opacity, or None where every pixel is opaque by format.
      grey: the file held one channel of brightness.
      bits: 8 or 16 a channel in the file (`pixels` has 8 always).
      file_format: Pillow's name of the format ("JPEG", "PNG", ...).
      mode: Pillow's name of the file's pixel layout ("RGB", "P", "CMYK", ...).
      icc: the colour profile, or None.
      exif: the EXIF block with the orientation set to upright, or None.
      resolution: dots an inch in x and y, or None.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    alpha: UInt8[np.ndarray, "h w"] | None = None
    grey: bool = False
    bits: int = 8
    file_format: str = "PNG"
    mode: str = "RGB"
    icc: bytes | None = None
    exif: bytes | None = None
    resolution: tuple[float, float] | None = None


def load_photo(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "h w 3"]:
    """Reads a photo as upright 8-bit RGB; alpha is dropped, grey is repeated, 16 bits are scaled.

    Raises:
      UserError: the file is missing, is no picture, is damaged, or is too large.
    """
    return decode_photo(path, str(path))


def decode_photo(source: str | os.PathLike[str] | bytes, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes a file, or the bytes of one, as `load_photo` does; messages name it `name`.

    Raises:
      UserError: as `load_photo`.
    """
    with Opened(source, name) as image:
        return _to_rgb(_upright(image))


def photo_size(source: str | os.PathLike[str] | bytes, name: str = "") -> tuple[int, int]:
    """Reads height and width of the upright photo from the file's head, without decoding it.

    The orientation of a PNG whose EXIF block comes after its pixels is not seen.

    Raises:
      UserError: the file is missing, is no picture, or is too large.
    """
    with Opened(source, name or str(source)) as image:
        width, height = image.size
        # Pillow turns a TIFF's size by itself; and asking a PNG for EXIF that does not come before
        # the pixels would decode all of it.
        asked = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
        turned = asked and _orientation(image) >= 5
    return (width, height) if turned else (height, width)


def load_photo_file(path: str | os.PathLike[str]) -> Photo:
    """Reads a photo together with all that `save_photo` gives back.

    Raises:
      UserError: as `load_photo`; also for pictures with several frames.
    """
    name = str(path)
    with Opened(path, name) as image:
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":
            raise UserError(f"{name}: holds {frames} pictures; give one photo a file")
        mode, file_format = image.mode, image.format or "PNG"
        bits = 16 if mode in _SIXTEEN_BIT_GREY or _file_depth(path, image) == 16 else 8
        icc, resolution = image.info.get("icc_profile"), _resolution(image)
        upright = _upright(image)
        exif = _upright_exif(image)
        alpha = None
        if upright.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in upright.info:
            alpha = np.asarray(upright.convert("RGBA").getchannel("A"))
        grey = mode in ("1", "L", "LA", "La", *_SIXTEEN_BIT_GREY)
        pixels = _to_rgb(upright)
    file_format = "JPEG" if file_format == "MPO" else file_format
    return Photo(pixels, alpha, grey, bits, file_format, mode, icc, exif, resolution)


def save_png(path: str | os.PathLike[str], array: UInt8[np.ndarray, "h w *c"]) -> None:
    """Writes RGB or grey pixels as a PNG, whole or not at all.

    Raises:
      UserError: the file cannot be written.
    """
    with replacing(path) as temporary:
        Image.fromarray(np.ascontiguousarray(array)).save(temporary, format="PNG", compress_level=3)


def save_photo(
    path: str | os.PathLike[str],
    pixels: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"] | Float[np.ndarray, "h w 3"],
    like: Photo,
) -> None:
    """Writes `pixels` as `like` was: format, greyness, alpha, bit depth, colour profile, EXIF.

    `pixels` are upright: uint8, uint16 over the full range, or floats in [0, 1]. A suffix that
    names another format than `like` had wins. What a format cannot hold (alpha in a JPEG, 16 bits
    in a WebP) is left out. Nothing is written half.

    Raises:
      UserError: the file cannot be written, or its suffix is of no known format.
    """
    path = Path(path)
    file_format = _SUFFIXES.get(path.suffix.lower(), like.file_format)
    if file_format not in _SUFFIXES.values():
        raise UserError(f"{path}: cannot write this format; use {', '.join(PHOTO_SUFFIXES)}")
    deep = like.bits == 16 and file_format in ("PNG", "TIFF")
    samples = _as_depth(pixels, 16 if deep else 8)
    alpha = like.alpha if file_format in ("PNG", "TIFF", "WEBP") else None
    if alpha is not None and alpha.shape != samples.shape[:2]:
        raise UserError(f"{path}: the alpha channel has another size than the pixels")
    icc = like.icc
    if like.grey:
        samples = _luma(samples)
    elif icc is not None and like.mode == "CMYK" and file_format not in ("JPEG", "TIFF"):
        icc = None  # a profile for inks does not describe RGB
    with replacing(path) as temporary:
        if deep and file_format == "PNG":
            write_deep_png(temporary, samples, alpha, icc, like.exif, like.resolution)
            return
        if deep and (alpha is not None or not like.grey):
            write_deep_tiff(temporary, samples, alpha, icc, like.exif, like.resolution)
            return
        image = Image.fromarray(samples)
        if like.mode == "CMYK" and file_format in ("JPEG", "TIFF"):
            image = image.convert("CMYK")
        if alpha is not None:
            image.putalpha(Image.fromarray(alpha))
        options: dict[str, Any] = {"icc_profile": icc, "exif": like.exif, "dpi": like.resolution}
        if file_format in ("JPEG", "WEBP"):
            options["quality"] = 95
        if file_format == "JPEG":
            options["subsampling"] = 0
        if file_format == "TIFF":
            options["compression"] = "tiff_lzw"
        image.save(
            temporary, format=file_format, **{k: v for k, v in options.items() if v is not None}
        )


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a broken EXIF block must not cost the photo
        return 1


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    if _orientation(image) in range(2, 9):
        turned = ImageOps.exif_transpose(image)
        return image if turned is None else turned
    return image


def _upright_exif(image: Image.Image) -> bytes | None:
    try:
        exif = image.getexif()
        if not len(exif):
            return None
        if _ORIENTATION in exif:
            exif[_ORIENTATION] = 1
        return exif.tobytes()
    except Exception:
        # A broken block makes Pillow raise whatever it likes; the photo is restored without it.
        return None


def _to_rgb(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    if image.mode in _SIXTEEN_BIT_GREY:
        values = np.asarray(image)
        if values.size and (values.min() < 0 or values.max() > 65535):
            raise UnusableError("more than 16 bits a pixel; save it with 8 or 16")
        grey = ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.mode == "F":
        raise UnusableError("floating-point pixels; save it with 8 or 16 bits a channel")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # the direct way warns about transparency given as bytes
    # A copy: the array must not depend on Pillow's buffer, and must be writable.
    return np.array(image.convert("RGB"))


def _resolution(image: Image.Image) -> tuple[float, float] | None:
    try:
        x, y = image.info["dpi"]
        return (float(x), float(y)) if x > 0 and y > 0 else None
    except (KeyError, TypeError, ValueError):
        return None


def _file_depth(path: str | os.PathLike[str], image: Image.Image) -> int:
    """Bits a sample as the header says: Pillow reads 16-bit colour as 8-bit without a warning."""
    if image.format == "TIFF":
        depths = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
        return 16 if set(depths) == {16} else 8
    with open(path, "rb") as file:
        head = file.read(25)
    return head[24] if head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) == 25 else 8


def _as_depth(pixels: np.ndarray, bits: int) -> np.ndarray:
    top = 2**bits - 1
    if pixels.dtype == np.uint8:
        return pixels if bits == 8 else pixels.astype(np.uint16) * 257
    if pixels.dtype == np.uint16:
        return pixels if bits == 16 else ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    rounded = np.empty(pixels.shape, np.uint16 if bits == 16 else np.uint8)
    for start in range(0, len(pixels), _STRIP_ROWS):
        rows = slice(start, start + _STRIP_ROWS)
        rounded[rows] = np.clip(np.nan_to_num(pixels[rows].astype(np.float64)), 0, 1) * top + 0.5
    return rounded


def _luma(samples: np.ndarray) -> np.ndarray:
    weights = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's grey
    grey = np.empty(samples.shape[:2], samples.dtype)
    for top in range(0, len(grey), _STRIP_ROWS):  # so that float64 never holds a whole photo
        rows = slice(top, top + _STRIP_ROWS)
        grey[rows] = samples[rows] @ weights + 0.5
    return grey
