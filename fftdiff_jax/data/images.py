"""Photos in and out of files: every common kind of picture becomes upright RGB, and back."""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8, UInt16
from PIL import Image

from fftdiff_jax.data import blocks, decoders
from fftdiff_jax.data.colour import inks_of_photo
from fftdiff_jax.data.encoders import ENCODERS
from fftdiff_jax.data.formats import PHOTO_SUFFIXES, SUFFIXES
from fftdiff_jax.data.opened import Opened
from fftdiff_jax.data.photo import Photo, as_depth, in_strips
from fftdiff_jax.errors import UserError
from fftdiff_jax.files import replacing
from fftdiff_jax.pixels import to_bits

__all__ = ["PHOTO_SUFFIXES", "Photo", "load_photo", "load_photo_file", "save_photo"]

_BARE_JPEG2000 = (".j2k", ".j2c", ".jpc")
_WITH_OPACITY = ("PNG", "TIFF", "WEBP", "AVIF", "HEIF", "JPEG2000", "GIF", "BMP", "DIB")
_DEEP = ("PNG", "TIFF", "PPM")
_WITHOUT_LOSS = ("PNG", "TIFF", "PPM", "BMP", "DIB", "JPEG2000")
# What each format has a place for, of what another one said.
_PLACES = {
    "JPEG": ("exif", "xmp", "iptc", "icc", "comment"),
    "PNG": ("exif", "xmp", "icc", "comment"),
    "TIFF": ("exif", "xmp", "iptc", "icc"),
    **dict.fromkeys(("WEBP", "AVIF", "HEIF"), ("exif", "xmp", "icc")),
    "GIF": ("xmp", "icc", "comment"),
    "PPM": ("comment",),
    "JPEG2000": ("icc", "comment"),
}
_SAID = {
    **{"exif": "EXIF", "xmp": "XMP", "iptc": "IPTC", "icc": "the colour profile"},
    "comment": "the comment",
}

# Bytes that a JPEG's segments hold of it.
_MOST_SAID = {("JPEG", "xmp"): 65500, ("JPEG", "iptc"): 65490, ("JPEG", "comment"): 65533}


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
    with Opened(source, name) as opened:
        return as_depth(decoders.decode(opened).pixels, 8)


def photo_size(source: str | os.PathLike[str] | bytes, name: str = "") -> tuple[int, int]:
    """Reads height and width of the upright photo from the file's head, without decoding it.

    The orientation of a PNG whose EXIF block comes after its pixels is not seen.

    Raises:
      UserError: the file is missing, is no picture, or is too large.
    """
    with Opened(source, name or str(source)) as opened:
        return decoders.size(opened)


def load_photo_file(path: str | os.PathLike[str], name: str = "") -> Photo:
    """Reads a photo together with all that `save_photo` gives back; messages name it `name`.

    Raises:
      UserError: as `load_photo`; also for pictures with several frames.
    """
    with Opened(path, name or str(path)) as opened:
        return decoders.decode_with_description(opened)


def save_png(path: str | os.PathLike[str], array: UInt8[np.ndarray, "h w *c"]) -> None:
    """Writes RGB or grey pixels as a PNG, whole or not at all.

    Raises:
      UserError: the file cannot be written.
    """
    # Into memory: into a file, Pillow passes over a disk that is full.
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, format="PNG", compress_level=3)
    with replacing(path) as temporary:
        _write(temporary, [buffer.getvalue()])


def save_photo(
    path: str | os.PathLike[str],
    pixels: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"] | Float[np.ndarray, "h w 3"],
    like: Photo,
) -> tuple[str, ...]:
    """Writes `pixels` as `like` was: format, greyness, alpha, bit depth, inks, what it says.

    `pixels` are upright: uint8, uint16 over the full range, or floats in [0, 1]. A suffix that
    names another format than `like` had wins. Nothing is written half: what was written is read
    again before it gets its name.

    Returns:
      What the format cannot hold and is left out, in words.

    Raises:
      UserError: the file cannot be written, or its suffix is of no known format.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    file_format = SUFFIXES.get(suffix, like.file_format)
    if file_format not in ENCODERS:
        raise UserError(f"{path}: cannot write this format; use {', '.join(PHOTO_SUFFIXES)}")
    own = file_format == like.file_format
    alpha = like.alpha if file_format in _WITH_OPACITY else None
    if alpha is not None and alpha.shape != pixels.shape[:2]:
        raise UserError(f"{path}: the alpha channel has another size than the pixels")
    deep_grey = file_format == "JPEG2000" and like.grey and alpha is None
    bits = like.bits if file_format in _DEEP or deep_grey else 8
    bare = suffix in _BARE_JPEG2000
    lost = _lost(like, file_format, bits, bare)
    samples = _to_depth(pixels, bits)
    shown = samples
    if like.grey:
        samples = _luma(samples)
    elif like.black is not None and file_format in ("JPEG", "TIFF"):
        samples = inks_of_photo(samples, like.black)
    elif like.black is not None:  # a profile for inks does not describe RGB
        like = dataclasses.replace(
            like, description=dataclasses.replace(like.description, icc=None)
        )
    alpha = None if alpha is None else as_depth(alpha, bits)
    options = {"bare": bare} if file_format == "JPEG2000" else {}
    try:
        parts = ENCODERS[file_format](np.ascontiguousarray(samples), alpha, like, own, **options)
    except (UserError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(f"{path}: cannot be written as {file_format} ({reason})") from error
    with replacing(path) as temporary:
        _write(temporary, parts)
        del parts
        if file_format in _WITHOUT_LOSS and like.black is None:
            stored = like.stored if own else None
            step = stored.coarseness(int(np.iinfo(samples.dtype).max)) if stored else 0
            _require_same(temporary, path, samples, alpha, within=step)
        else:
            _require_same(temporary, path, shown, alpha, within=None)
    return lost


def _write(path: Path, parts: Sequence[bytes]) -> None:
    with open(path, "wb") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())  # some disks say only then that they are full


def _require_same(
    temporary: Path,
    path: Path,
    samples: np.ndarray,
    alpha: np.ndarray | None,
    *,
    within: int | None,
) -> None:
    """Reads what was written: a file that no one can open must not pass for a photo.

    Levels may differ by `within`; by any number where it is None.
    """
    found = load_photo_file(temporary, str(path))
    values = found.pixels if samples.ndim == 3 else found.pixels[..., 0]
    same = values.shape == samples.shape and (alpha is None) == (found.alpha is None)
    if same and within is not None:
        same = values.dtype == samples.dtype and _differ_at_most(within, values, samples)
    if not same:
        raise UserError(f"{path}: what was written reads as another picture; it is not kept")


def _differ_at_most(most: int, one: np.ndarray, other: np.ndarray) -> bool:
    apart = in_strips(lambda a, b: np.abs(a.astype(np.int32) - b).max(axis=1), one, other)
    return int(apart.max(initial=0)) <= most


def _lost(like: Photo, file_format: str, bits: int, bare: bool) -> tuple[str, ...]:
    """What of `like` has no place in a format; `bare`: in a JPEG 2000 without boxes."""
    said, places = like.description, _PLACES.get(file_format, ())
    own = file_format == like.file_format and not bare
    if bare:
        places = ("comment",)
    lost = [
        words
        for name, words in _SAID.items()
        if (body := getattr(said, name))
        and not (own and said.blocks)
        and (name not in places or len(body) > _MOST_SAID.get((file_format, name), len(body)))
    ]
    if not own and (names := blocks.of_one_format(said, like.file_format)):
        lost.append(f"what {like.file_format} alone holds ({', '.join(names)})")
    if like.alpha is not None and file_format not in _WITH_OPACITY:
        lost.append("transparency")
    if like.bits > bits:
        lost.append(f"more than {bits} bits a channel, rounded to {bits}")
    if like.black is not None and file_format not in ("JPEG", "TIFF"):
        lost.append("inks: it is written as RGB")
    return tuple(lost)


def _to_depth(pixels: np.ndarray, bits: int) -> np.ndarray:
    if pixels.dtype.kind == "u":
        return as_depth(pixels, bits)
    return in_strips(lambda rows: to_bits(rows.astype(np.float64), bits), pixels)


def _luma(samples: np.ndarray) -> np.ndarray:
    weights = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's grey
    return in_strips(lambda rows: (rows @ weights + 0.5).astype(samples.dtype), samples)
