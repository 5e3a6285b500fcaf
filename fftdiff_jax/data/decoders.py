"""Files of pictures as photos: Pillow decodes most, tiff.py TIFF.

Pillow reads 16 bits a channel as 8 where there are colours; here all bits of PNG and PNM come.
"""

from __future__ import annotations

import dataclasses
import re
import warnings

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from fftdiff_jax.data import behind, blocks, tiff
from fftdiff_jax.data.colour import photo_of_inks
from fftdiff_jax.data.opened import Opened, UnusableError
from fftdiff_jax.data.photo import Photo, as_depth, turned
from fftdiff_jax.data.tiff_pages import find_page

_SIXTEEN_BIT_GREY = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
# Of a PNG's colour type: Pillow's modes and raw modes that unpack its 16 bits, high and low.
_DEEP_PNG = {
    2: ("RGB", ("RGB;16B", "RGB;16L")),
    4: ("RGBA", ("RGBA",)),
    6: ("RGBA", ("RGBA;16B", "RGBA;16L")),
}
_PNM_HEAD = re.compile(
    rb"P([2356])(?:\s+(?:#[^\n\r]*[\n\r]\s*)*)(\d+)"
    + 2 * rb"(?:\s+(?:#[^\n\r]*[\n\r]\s*)*)(\d+)"
    + rb"\s"
)
_MOST_TEXT = 16  # bytes a number of a PNM in text
_AVIF_HEAD, _JPEG2000_SIZES = b"av1C", b"\xff\x51"


def size(opened: Opened) -> tuple[int, int]:
    """Height and width of the upright photo, from the file's head."""
    if opened.kind == "TIFF":
        page = find_page(opened.file)
        (height, width), turns = page.size, page.orientation >= 5
    else:
        image = opened.image()
        width, height = image.size
        # Asking a PNG for EXIF that does not come before the pixels would decode all of it.
        asked = image.format != "PNG" or "exif" in image.info
        turns = asked and _orientation(image) >= 5
    return (width, height) if turns else (height, width)


def decode(opened: Opened) -> Photo:
    """The photo, or the first of several, without its description."""
    if opened.kind == "TIFF":
        page = find_page(opened.file)
        photo = tiff.read_photo(opened.file, page)
        if photo is None:
            image = opened.image()
            image.seek(page.number)
            photo = dataclasses.replace(_from_pillow(image), notes=tuple(page.notes))
        return photo
    deep = _deep_pixels(opened)
    return deep or _from_pillow(_with_whole_key(opened.image(), opened.head(26)))


def decode_with_description(opened: Opened) -> Photo:
    """The photo with all that its file says of it.

    Raises:
      UserError: also where the file holds several photos.
    """
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        further = 0
        if opened.kind != "TIFF":
            image = opened.image()
            frames = getattr(image, "n_frames", 1)
            further = frames - 1 if image.format in ("MPO", "HEIF") else 0
            if frames > 1 and not further:
                raise UnusableError(f"holds {frames} pictures; give one photo a file")
        photo = decode(opened)
        turned_size = photo.pixels.shape[1], photo.pixels.shape[0]
        if opened.kind == "TIFF":
            page = find_page(opened.file)
            said, more = tiff.describe(page, turned_size), tiff.left_out(page)
        else:
            image = opened.decoded()
            said = blocks.describe(image, opened.file, turned_size)
            more = behind.notes(opened.file, photo.file_format, said, image.info, further > 0)
    notes = [*photo.notes, *([f"{further} further pictures in the file"] if further > 0 else [])]
    notes += more
    head = opened.head(2**16)
    depth = _depth_of(photo.file_format, head)
    if depth > photo.bits:
        notes.append(f"bits beyond {photo.bits} of {depth} a channel")
    return dataclasses.replace(
        photo,
        lossless=b"VP8L" in head[: 2**10],
        description=said,
        notes=tuple(dict.fromkeys(notes)),
        warnings=tuple(dict.fromkeys(" ".join(str(w.message).split()) for w in heard)),
    )


def _with_whole_key(image: Image.Image, head: bytes) -> Image.Image:
    """A PNG of 2 or 4 bits of grey, its transparent level as Pillow's pixels of 8 bits have it."""
    key = image.info.get("transparency")
    if image.format == "PNG" and head[25] == 0 and head[24] in (2, 4) and isinstance(key, int):
        image.info["transparency"] = key * 255 // (2 ** head[24] - 1)
    return image


def _from_pillow(image: Image.Image) -> Photo:
    image.load()
    orientation = _orientation(image)
    file_format = {"MPO": "JPEG"}.get(image.format or "", image.format or "PNG")
    mode = image.mode
    alpha = black = None
    if mode == "CMYK":
        inks = np.asarray(image)
        black = np.ascontiguousarray(inks[..., 3])
        pixels = photo_of_inks(inks[..., :3], black)
    elif mode in _SIXTEEN_BIT_GREY:
        values = np.asarray(image)
        if values.size and (values.min() < 0 or values.max() > 65535):
            raise UnusableError("more than 16 bits a pixel; save it with 8 or 16")
        if isinstance(image.info.get("transparency"), int):
            alpha = np.where(values == image.info["transparency"], 0, 65535).astype(np.uint16)
        pixels = np.repeat(values.astype(np.uint16)[..., None], 3, axis=-1)
    elif mode in ("F", "LAB", "HSV"):
        kind = "floating-point pixels" if mode == "F" else mode
        raise UnusableError(f"{kind}; save it with 8 or 16 bits a channel")
    elif mode in _WITH_ALPHA or "transparency" in image.info:
        both = np.asarray(image.convert("RGBA"))
        pixels, alpha = np.ascontiguousarray(both[..., :3]), both[..., 3]
    else:
        # A copy: the array must not depend on Pillow's buffer, and must be writable.
        pixels = np.array(image.convert("RGB"))
    grey = mode in ("1", "L", "LA", "La", *_SIXTEEN_BIT_GREY)
    arrays = [None if a is None else turned(a, orientation) for a in (pixels, alpha, black)]
    assert arrays[0] is not None
    return Photo(arrays[0], arrays[1], grey, arrays[2], file_format)


def _orientation(image: Image.Image) -> int:
    if image.format == "TIFF":  # Pillow turns it by itself
        return 1
    return blocks.orientation(image.info)


def _deep_pixels(opened: Opened) -> Photo | None:
    """A PNG or PNM of over 8 bits a channel that Pillow reads as one of 8; None for all others."""
    head = opened.head(2**16)
    if opened.kind == "PNG" and head[24:25] == b"\x10" and head[25] in _DEEP_PNG:
        return _deep_png(opened, head[25])
    match = _PNM_HEAD.match(head)
    if match and 255 < int(match[4]) < 65536:
        return _deep_pnm(opened, match)
    return None


def _deep_png(opened: Opened, colour_type: int) -> Photo:
    mode, raw_modes = _DEEP_PNG[colour_type]
    halves, image = [], opened.image()
    transparent = image.info.get("transparency")
    for raw in raw_modes:
        image = opened.image()
        assert isinstance(image, ImageFile)
        image._mode = mode
        image.tile = [tile._replace(args=raw) for tile in image.tile]
        halves.append(np.array(image).astype(np.uint16))
    if colour_type == 4:  # four bytes of a pixel: two of grey, two of opacity
        samples = (halves[0][..., ::2] << 8) | halves[0][..., 1::2]
    else:
        samples = (halves[0] << 8) | halves[1]
    colours = {2: 3, 4: 1, 6: 3}[colour_type]
    pixels, alpha = samples[..., :colours], None
    if samples.shape[-1] > colours:
        alpha = samples[..., colours]
    elif isinstance(transparent, tuple):
        alpha = np.where((pixels == transparent).all(axis=-1), 0, 65535).astype(np.uint16)
    pixels = pixels.repeat(3, axis=-1) if colours == 1 else pixels
    orientation = _orientation(image)
    alpha = None if alpha is None else turned(alpha, orientation)
    return Photo(turned(pixels, orientation), alpha, colours == 1, None, "PNG")


def _deep_pnm(opened: Opened, head: re.Match[bytes]) -> Photo:
    opened.image()  # looks at the size
    kind, width, height, white = (int(number) for number in head.groups())
    channels = 3 if kind in (3, 6) else 1
    count = width * height * channels
    opened.file.seek(head.end())
    if kind in (5, 6):
        values = np.frombuffer(opened.file.read(2 * count), ">u2")
    else:
        words = re.sub(rb"#[^\n\r]*", b"", opened.file.read(_MOST_TEXT * count)).split()
        values = np.array([int(word) for word in words[:count]], np.uint32)
    if len(values) < count:
        raise EOFError("its end is missing")
    samples = as_depth(np.minimum(values, white).astype(np.uint16), 16, white)
    samples = samples.reshape(height, width, channels)
    pixels = samples.repeat(3, axis=-1) if channels == 1 else samples
    return Photo(pixels, None, channels == 1, None, "PPM")


def _depth_of(file_format: str, head: bytes) -> int:
    """Bits a channel as the head of a file says, of formats that Pillow reads with 8."""
    if file_format == "AVIF" and (at := head.find(_AVIF_HEAD)) >= 0:
        flags = head[at + 6 : at + 7] or b"\0"
        return (12 if flags[0] & 0x20 else 10) if flags[0] & 0x40 else 8
    if file_format == "JPEG2000" and (at := head.find(_JPEG2000_SIZES)) >= 0:
        depth = head[at + 40 : at + 41] or b"\x07"
        return (depth[0] & 0x7F) + 1
    if file_format == "HEIF" and (at := head.find(b"pixi")) >= 0:
        return (head[at + 9 : at + 10] or b"\x08")[0]
    return 8
