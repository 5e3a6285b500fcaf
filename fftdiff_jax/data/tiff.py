"""Photos of TIFF files: what their samples mean as colours, and what their tags say."""

from __future__ import annotations

import re
from typing import BinaryIO

import numpy as np
from jaxtyping import Shaped
from tifffile import TIFF

from fftdiff_jax.data import colour, exif, resources
from fftdiff_jax.data.exif import Directory
from fftdiff_jax.data.opened import UnusableError
from fftdiff_jax.data.photo import (
    Description,
    Photo,
    Stored,
    as_depth,
    in_strips,
    rounded,
    turned,
)
from fftdiff_jax.data.tiff_pages import COMPRESSIONS, Page, read_samples

XMP, IPTC, ICC, RESOURCES = 700, 33723, 34675, 34377
# Tags that describe a picture, whatever its pixels are: what it is called and shows, by whom, when
# and with what it was made, its primary colours, Windows' texts and ratings, where on Earth it
# lies (GeoTIFF, GDAL).
_DESCRIBING = {
    *(269, 270, 271, 272, 285, 305, 306, 315, 316, 318, 319, 33432, *range(40091, 40096)),
    *(18246, 18249),
    *(33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113),
}
# Tags that say how a picture is stored, printed or scanned, and pointers to what is kept otherwise.
_STORING = {
    *(*range(254, 267), *range(273, 285), *range(286, 298), 301, 317, *range(320, 329), 332),
    *(*range(336, 344), 347, *range(512, 522), 529, 530, 531, 532, 32781, 34665, 34853, 40965),
}
# Descriptions by which programs find the layout of their own files.
_OF_A_LAYOUT = re.compile(rb"\{\"shape\"|ImageJ=|<\?xml[^>]*>\s*(<!--.*?-->\s*)?<OME", re.DOTALL)
_INTEROPERABILITY = 40965  # holds an offset
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _MASK, _INKS, _YCBCR, _LAB, _ICC_LAB = (
    *(0, 1, 2, 3, 4, 5, 6, 8, 9),
)
# Compressions of black and white (fax) and of photos (JPEG), which Pillow turns into pictures.
_BY_PILLOW = (2, 3, 4, 6, 7, 32771, 32809)
_COLOURS = {_RGB: 3, _INKS: 4, _YCBCR: 3, _LAB: 3, _ICC_LAB: 3}
_PREMULTIPLIED, _OPACITY = 1, 2


def read_photo(file: BinaryIO, page: Page) -> Photo | None:
    """The upright photo; None where its compression is one that Pillow decodes as a picture.

    Raises:
      UnusableError: it has a layout that no photo has.
    """
    compression = page.of(259, 1)[0]
    if compression not in COMPRESSIONS:
        if compression not in _BY_PILLOW:
            raise UnusableError(f"compression {compression} of TIFF; save it with LZW or Deflate")
        return None
    samples = read_samples(file, page)
    meaning = page.of(262, _RGB if samples.shape[-1] > 2 else _BLACK_IS_ZERO)[0]
    if meaning not in (*_COLOURS, _WHITE_IS_ZERO, _BLACK_IS_ZERO, _PALETTE, _MASK):
        raise UnusableError(f"colours of kind {meaning} of TIFF; save it as RGB")
    count = _COLOURS.get(meaning, 1)
    if samples.shape[-1] < count:
        raise UnusableError(f"it has {samples.shape[-1]} of {count} channels")
    if meaning == _INKS and page.of(332, 1)[0] != 1:
        raise UnusableError("inks other than cyan, magenta, yellow and black; save it as RGB")
    notes = list(page.notes)
    values, more = samples[..., :count], samples[..., count:]
    extra = page.of(338, *([_OPACITY] if more.shape[-1] == 1 else [0] * more.shape[-1]))
    opaque = next((i for i, kind in enumerate(extra[: more.shape[-1]]) if kind in (1, 2)), None)
    if more.shape[-1] > (opaque is not None):
        notes.append("channels that say no colour")
    stored, alpha, black = None, None, None
    if meaning in (_RGB, _WHITE_IS_ZERO, _BLACK_IS_ZERO, _MASK, _INKS):
        values, stored, note = _levels(values, page)
        notes += [note] if note else []
    if opaque is not None:
        alpha = _levels(more[..., opaque], page)[0]
    if meaning == _PALETTE:
        values = _palette_colours(values[..., 0], page)
    elif meaning == _YCBCR:
        values = _from_ycbcr(values, page)
    elif meaning in (_LAB, _ICC_LAB):
        values = _from_lab(values, page.of(258, 8)[0], meaning)
        notes.append("L*a*b*: it is written as RGB")
    elif meaning == _INKS:
        values, black = values[..., :3], np.ascontiguousarray(values[..., 3])
        values = colour.photo_of_inks(values, black)
    elif meaning == _WHITE_IS_ZERO:
        values = np.iinfo(values.dtype).max - values
    if alpha is not None and alpha.dtype != values.dtype:
        alpha = as_depth(alpha, 8 * values.dtype.itemsize)
    if alpha is not None and extra[opaque or 0] == _PREMULTIPLIED:
        values = in_strips(_divided, values, alpha)
    pixels = values.repeat(3, axis=-1) if values.shape[-1] == 1 else values
    arrays = (
        turned(a, page.orientation) if a is not None else None for a in (pixels, alpha, black)
    )
    upright, alpha, black = arrays
    assert upright is not None
    return Photo(
        upright, alpha, values.shape[-1] == 1, black, "TIFF", True, stored, notes=tuple(notes)
    )


def describe(page: Page, size: tuple[int, int]) -> Description:
    """What the tags say of a photo that is upright and has this size (width, height)."""
    order, own = page.order, page.directories[0]
    found = describing(page.directories)
    block = exif.upright(exif.to_block(order, found), size) if any(found.values()) else None
    xmp, iptc, icc = (own[tag].data if tag in own else None for tag in (XMP, IPTC, ICC))
    if page.of(262, 1)[0] in (_LAB, _ICC_LAB):
        icc = None
    unit = {2: 1.0, 3: 2.54}.get(page.of(296, 2)[0])
    across, down = (own[tag].ratios(order)[:1] if tag in own else () for tag in (282, 283))
    resolution = (across[0] * unit, down[0] * unit) if unit and across and down else None
    if resolution and page.orientation >= 5:
        resolution = resolution[::-1]
    if resolution and not all(0 < value < 1e6 for value in resolution):
        resolution = None
    more = resources.without_thumbnail(own[RESOURCES].data) if RESOURCES in own else b""
    blocks = ((b"%d" % RESOURCES, more),) if more else ()
    return Description(block, xmp, iptc, icc, None, resolution, blocks)


def left_out(page: Page) -> list[str]:
    """What tags say that is neither how the picture is stored nor kept, in words."""
    kept = {*describing(page.directories)[0], *_STORING, XMP, IPTC, ICC, RESOURCES}
    kept -= {tag for tag, entry in page.directories[0].items() if not entry.length}
    text = page.directories[0].get(270)
    if text and text.data.startswith(b'{"shape"'):
        kept.add(270)
    names = [TIFF.TAGS.get(tag, str(tag)) for tag in sorted(page.directories[0].keys() - kept)]
    return [f"tags {', '.join(names[:8])}{' ...' * (len(names) > 8)}"] if names else []


def describing(found: dict[int, Directory]) -> dict[int, Directory]:
    """Of the directories of a TIFF or an EXIF block what describes a picture."""
    own = {
        tag: entry
        for tag, entry in found[0].items()
        if tag in _DESCRIBING
        and entry.length
        and not (tag == 270 and _OF_A_LAYOUT.match(entry.data.lstrip()))
    }
    inner = {
        key: {
            tag: entry
            for tag, entry in directory.items()
            if tag != _INTEROPERABILITY and entry.length
        }
        for key, directory in found.items()
        if key
    }
    return {0: own, **{key: directory for key, directory in inner.items() if directory}}


def _levels(
    samples: Shaped[np.ndarray, "h w *c"], page: Page
) -> tuple[Shaped[np.ndarray, "h w *c"], Stored | None, str]:
    """Samples over the whole range of uint8 or uint16, the range they had, and what is lost."""
    bits, signed = page.of(258, 1)[0], 2 in page.of(339, 1)
    stored = range_of(samples, bits, signed)
    note = f"bits beyond 16 of {bits} a channel" if bits > 16 else ""
    if stored is None:
        return as_depth(samples, 8 if bits <= 8 else 16, 2**bits - 1), None, note
    if bits == 32 and stored.white == 65535:
        return samples.astype(np.uint16), stored, ""
    if stored.black:
        samples = samples - samples.dtype.type(stored.black % 2**bits)
    return as_depth(samples, min(bits, 16), stored.white - stored.black), stored, note


def range_of(samples: Shaped[np.ndarray, "*s"], bits: int, signed: bool) -> Stored | None:
    """The range of a TIFF's numbers (given unsigned); None: the whole one of their bits.

    Raises:
      UnusableError: numbers that are no photo's.
    """
    if not signed:
        if bits != 32:
            return None
        small = not samples.size or samples.max() <= 65535
        return Stored("uint32", 0, 65535 if small else 2**32 - 1)
    if bits not in (8, 16, 32):
        raise UnusableError(f"signed pixels of {bits} bits; save it with 8 or 16")
    values = samples.view(f"i{samples.dtype.itemsize}")
    least = int(values.min(initial=0))
    if bits == 32:
        if least < 0 or values.max(initial=0) > 65535:
            raise UnusableError("more than 16 bits a pixel; save it with 8 or 16")
        return Stored("int32", 0, 65535)
    top = 2 ** (bits - 1)
    if least >= 0:
        return Stored(f"int{bits}", 0, top - 1)
    # Many files are called signed and are not: a photo is the smoother reading.
    if _roughness(samples) < _roughness(samples + samples.dtype.type(top)):
        return Stored(f"int{bits}", 0, 2 * top - 1)
    return Stored(f"int{bits}", -top, top - 1)


def _roughness(samples: Shaped[np.ndarray, "h w *c"]) -> float:
    return float(np.abs(np.diff(samples.astype(np.float32), axis=1)).sum(dtype=np.float64))


def _palette_colours(indices: Shaped[np.ndarray, "h w"], page: Page) -> Shaped[np.ndarray, "h w 3"]:
    entries = page.of(320)
    table = np.array(entries[: len(entries) // 3 * 3], np.uint32).reshape(3, -1).T
    if not len(table):
        raise UnusableError("its palette is missing")
    # Some writers give colours of 8 bits; some stretch 8 bits by 256 and some by 257.
    colours = (table if table.max() < 256 else table >> 8).astype(np.uint8)
    return colours[np.minimum(indices, len(colours) - 1)]


def _from_ycbcr(samples: Shaped[np.ndarray, "h w 3"], page: Page) -> Shaped[np.ndarray, "h w 3"]:
    if samples.dtype != np.uint8:
        raise UnusableError("YCbCr of more than 8 bits; save it as RGB")
    tags = page.directories[0]
    luma, levels = (tags[tag].ratios(page.order) if tag in tags else () for tag in (529, 532))
    luma = luma if len(luma) == 3 else (0.299, 0.587, 0.114)
    levels = levels if len(levels) == 6 else (0, 255, 128, 255, 128, 255)
    return in_strips(lambda some: rounded(colour.from_ycbcr(some, luma, levels)), samples)


def _from_lab(
    samples: Shaped[np.ndarray, "h w 3"], bits: int, meaning: int
) -> Shaped[np.ndarray, "h w 3"]:
    if bits not in (8, 16):
        raise UnusableError(f"L*a*b* of {bits} bits; save it as RGB")
    unit, half = (1, 128) if bits == 8 else (256, 32768)

    def convert(some: np.ndarray) -> np.ndarray:
        if meaning == _ICC_LAB:
            a_b = (some[..., 1:].astype(np.float32) - half) / unit
            white = 255 if bits == 8 else 65280
        else:
            a_b = some[..., 1:].view(f"i{bits // 8}").astype(np.float32) / unit
            white = 2**bits - 1
        lightness = some[..., :1].astype(np.float32) * 100 / white
        return rounded(colour.from_lab(np.concatenate([lightness, a_b], axis=-1)), bits)

    return in_strips(convert, np.ascontiguousarray(samples))


def _divided(values: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours that were multiplied with opacity, without it."""
    unit = values.astype(np.float32) / np.maximum(alpha, 1)[..., None]
    return rounded(unit, 8 * values.dtype.itemsize)
