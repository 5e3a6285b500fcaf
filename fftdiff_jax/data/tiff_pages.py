"""The one picture of a TIFF file, and its samples as they are stored.

libtiff, which comes with Pillow, decompresses, and this takes the bytes apart: samples of 1 to 32
bits, by pixel or by plane, in strips or tiles (TIFF 6.0, Adobe 1992). Pillow itself knows few of
these layouts, and reads 16 bits as 8.
"""

from __future__ import annotations

import dataclasses
import io
import struct
from typing import BinaryIO

import numpy as np
from jaxtyping import Shaped
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from fftdiff_jax.data import exif
from fftdiff_jax.data.exif import Directory, Order
from fftdiff_jax.data.opened import MAX_PIXELS, UnusableError, require_pixels
from fftdiff_jax.data.photo import in_strips

# Compressions of strips and tiles that are small pictures of their own.
_PICTURES = {50001: "WEBP", 34933: "PNG", 34712: "JPEG2000"}
# Those, and what gives back the bytes that went in: none, LZW, Deflate, PackBits, LZMA, Zstandard.
COMPRESSIONS = (1, 5, 8, 32773, 32946, 34925, 50000, *_PICTURES)
_MOST_CHANNELS, _MOST_PAGES, _MOST_BYTES = 16, 10_000, 8 * MAX_PIXELS
_DNG_VERSION, _SENSOR_PATTERN = 50706, 33421
_DEPTH = 32997  # of a volume, whose first slice is read
_REDUCED, _MASK = 1, 4  # bits of tag 254
# Sizes of tag 258 that a type of numpy's has.
_TYPES = {8: "u1", 16: "u2", 32: "u4"}


@dataclasses.dataclass(frozen=True)
class Page:
    """One picture of a TIFF file.

    Attributes:
      number: which one of the file.
      order: byte order of the file, "<" or ">".
      directories: its own under 0, and those of EXIF and of the place.
      smaller: how many smaller copies of it the file holds besides.
    """

    number: int
    order: Order
    directories: dict[int, Directory]
    smaller: int = 0

    def of(self, tag: int, *otherwise: int) -> tuple[int, ...]:
        """The whole numbers of a tag."""
        tags = self.directories[0]
        return (tags[tag].numbers(self.order) if tag in tags else ()) or otherwise

    @property
    def notes(self) -> list[str]:
        """What of the file is not kept."""
        return [f"{self.smaller} smaller copies of the picture"] if self.smaller else []

    @property
    def size(self) -> tuple[int, int]:
        """Height and width as it is stored."""
        return self.of(257, 0)[0], self.of(256, 0)[0]

    @property
    def orientation(self) -> int:
        """As in EXIF, 1 to 8."""
        value = self.of(exif.ORIENTATION, 1)[0]
        return value if value in range(1, 9) else 1


def find_page(file: BinaryIO) -> Page:
    """The one picture of a file that is no smaller copy or mask of another.

    Raises:
      UnusableError: several pictures, a camera's raw file, or no picture.
      TooLargeError: it has more pixels than a photo may have.
    """

    def whole_file(offset: int, count: int) -> bytes:
        file.seek(offset)
        return file.read(count)

    read = exif.bounded(whole_file, file.seek(0, 2))
    start = exif.byte_order(read(0, 16))
    if start is None:
        raise UnusableError("its head is no TIFF's")
    order, big, offset = start
    places: list[int] = []
    pages: list[Page] = []
    while offset and offset not in places and len(places) < _MOST_PAGES:
        places.append(offset)
        tags, offset, _ = exif.read_directory(read, offset, order, big)
        if tags:
            pages.append(Page(len(places) - 1, order, {0: tags}))
    if not pages:
        raise UnusableError("it holds no picture")
    if any(tag in pages[0].directories[0] for tag in (_DNG_VERSION, _SENSOR_PATTERN)):
        raise UnusableError("a camera's raw file; export it as JPEG, PNG or TIFF")
    whole: list[Page] = []
    for page in pages:
        if not _is_part(page) and not any(_is_copy(page, other) for other in whole):
            whole.append(page)
    if not whole:
        raise UnusableError("it holds no whole picture")
    if len(whole) > 1:
        raise UnusableError(f"holds {len(whole)} pictures; give one photo a file")
    page = whole[0]
    require_pixels(*page.size)
    described = exif.directories(read, places[page.number], order, big)
    return dataclasses.replace(page, directories=described, smaller=len(pages) - 1)


def read_samples(file: BinaryIO, page: Page) -> Shaped[np.ndarray, "h w c"]:
    """All samples as stored, unsigned, of the least whole type that holds them.

    The compression is one of `COMPRESSIONS`.

    Raises:
      UnusableError: samples of several depths, of over 32 bits or of no whole ones.
    """
    (height, width), channels, bits = page.size, page.of(277, 1)[0], _bits(page)
    if not 1 <= channels <= _MOST_CHANNELS:
        raise UnusableError(f"it has {channels} channels")
    if page.of(262, 1)[0] == 6 and page.of(284, 1)[0] == 1 and channels == 3:
        across, down = page.of(530, 2, 2)[:2]
        if (across, down) != (1, 1):
            return _subsampled(file, page, across, down)
    planes = channels if page.of(284, 1)[0] == 2 else 1
    depth = channels // planes
    dtype = _least_type(bits)
    require_pixels(height, width * channels * dtype.itemsize, most=_MOST_BYTES)
    found = np.zeros((height, width, channels), dtype)
    places = _places(page)
    if len(page.of(324, *page.of(273))) > len(places) * planes and not page.of(_DEPTH):
        raise UnusableError("it has more strips or tiles than its rows need")
    for number, (top, left, rows, columns) in enumerate(places * planes):
        plane = number // len(places)
        row_bytes = -(-columns * depth * bits // 8)
        data = _decompressed(file, page, number, rows, row_bytes)
        packed = np.frombuffer(data, np.uint8).reshape(rows, row_bytes)
        samples = _unpacked(packed, bits, columns * depth, page.order)
        samples = samples.reshape(rows, columns, depth)
        if page.of(317, 1)[0] == 2:
            samples = np.cumsum(samples, axis=1, dtype=samples.dtype)
        there = (slice(top, top + rows), slice(left, left + columns), slice(plane, plane + depth))
        seen = found[there]
        seen[:] = samples[: seen.shape[0], : seen.shape[1]]
    return found


def _is_part(page: Page) -> bool:
    kind = page.of(254, 0)[0]
    return bool(kind & (_REDUCED | _MASK)) or page.of(255, 1)[0] == 2


def _is_copy(page: Page, other: Page) -> bool:
    """Whether a page is a small picture of another's shape, as pyramids and scanners add."""
    (height, width), (rows, columns) = page.size, other.size
    smaller = 0 < 2 * height <= rows + 1 and 0 < 2 * width <= columns + 1
    return smaller and abs(height * columns - width * rows) <= max(rows, columns) + rows // 20


def _bits(page: Page) -> int:
    depths = set(page.of(258, 1)[: page.of(277, 1)[0]]) or {1}
    if len(depths) > 1:
        raise UnusableError("its channels differ in depth")
    kinds = set(page.of(339, 1))
    if kinds & {3, 5, 6}:
        raise UnusableError("floating-point pixels; save it with 8 or 16 bits")
    bits = depths.pop()
    if not 1 <= bits <= 32:
        raise UnusableError(f"{bits} bits a pixel; save it with 8 or 16")
    if page.of(317, 1)[0] not in (1, 2) or (page.of(317, 1)[0] == 2 and bits not in _TYPES):
        raise UnusableError("its pixels are predicted in a way that is not known here")
    return bits


def _least_type(bits: int) -> np.dtype:
    return np.dtype("u1" if bits <= 8 else "u2" if bits <= 16 else "u4")


def _places(page: Page) -> list[tuple[int, int, int, int]]:
    """Top, left, rows and columns of every strip or tile of a plane."""
    height, width = page.size
    if 322 in page.directories[0]:
        columns, rows = page.of(322, 0)[0], page.of(323, 0)[0]
        if not 0 < rows <= 2**16 or not 0 < columns <= 2**16:
            raise UnusableError("its tiles have no size")
        tops, lefts = range(0, height, rows), range(0, width, columns)
        return [(top, left, rows, columns) for top in tops for left in lefts]
    rows = page.of(278, height)[0]
    rows = rows if 0 < rows <= height else height
    return [(top, 0, min(rows, height - top), width) for top in range(0, height, rows)]


def _decompressed(file: BinaryIO, page: Page, number: int, rows: int, row_bytes: int) -> bytes:
    """The bytes of one strip or tile."""
    tiled = 322 in page.directories[0]
    offsets, counts = (page.of(tag) for tag in ((324, 325) if tiled else (273, 279)))
    compression, reversed_bits = page.of(259, 1)[0], page.of(266, 1)[0] == 2
    need = rows * row_bytes
    if number >= len(offsets):
        raise UnusableError("strips or tiles are missing in it")
    file.seek(offsets[number])
    if offsets[number] == 0 and counts[number : number + 1] == (0,):
        return bytes(need)  # one that was never written stands for zeros
    if compression == 1:
        data = file.read(need)
        if len(data) < need:
            raise EOFError("its end is missing")
        return _bits_turned(data) if reversed_bits else data
    data = file.read(counts[number] if number < len(counts) else -1)
    if compression in _PICTURES:
        with Image.open(io.BytesIO(data), formats=(_PICTURES[compression],)) as image:
            if image.width * len(image.getbands()) != row_bytes or image.height != rows:
                raise UnusableError("its strips or tiles are no pictures of its size")
            return image.tobytes()
    # To libtiff each is a grey picture of its bytes.
    tags = {
        **{256: row_bytes, 257: rows, 258: 8, 259: compression, 262: 1},
        **{266: 2 if reversed_bits else 1, 277: 1, 278: rows, 279: len(data)},
    }
    head = 8 + 2 + 12 * (len(tags) + 1) + 4
    entries = {tag: exif.Entry(4, 1, struct.pack("<I", value)) for tag, value in tags.items()}
    entries[273] = exif.Entry(4, 1, struct.pack("<I", head))
    small = b"II" + struct.pack("<HI", 42, 8) + exif.packed("<", entries, 8) + data
    with TiffImageFile(io.BytesIO(small)) as image:
        return image.tobytes()


def _bits_turned(data: bytes) -> bytes:
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    return np.packbits(bits).tobytes()


def _unpacked(
    packed: Shaped[np.ndarray, "r b"], bits: int, count: int, order: Order
) -> Shaped[np.ndarray, "r n"]:
    """`count` unsigned samples of each row."""
    if bits in _TYPES:
        dtype = np.dtype(_TYPES[bits])
        return np.ascontiguousarray(packed).view(dtype.newbyteorder(order)).astype(dtype)
    dtype = _least_type(bits)
    if bits == 24:
        three = packed.reshape(len(packed), count, 3).astype(dtype)
        low = three[..., 0] if order == "<" else three[..., 2]
        high = three[..., 2] if order == "<" else three[..., 0]
        return low + (three[..., 1] << 8) + (high << 16)
    powers = 1 << np.arange(bits - 1, -1, -1, dtype=dtype)

    def unpack(rows: Shaped[np.ndarray, "r b"]) -> Shaped[np.ndarray, "r n"]:
        single = np.unpackbits(rows, axis=1)[:, : count * bits]
        return (single.reshape(len(rows), count, bits) * powers).sum(axis=-1, dtype=dtype)

    return in_strips(unpack, packed)


def _subsampled(file: BinaryIO, page: Page, across: int, down: int) -> Shaped[np.ndarray, "h w 3"]:
    """YCbCr whose colour has fewer samples: units of across x down samples of Y, one Cb, one Cr."""
    if across not in (1, 2, 4) or down not in (1, 2, 4) or _bits(page) != 8:
        raise UnusableError("YCbCr of another kind than TIFF 6.0 has")
    height, width = page.size
    found = np.zeros((height, width, 3), np.uint8)
    for number, (top, left, rows, columns) in enumerate(_places(page)):
        units = -(-rows // down), -(-columns // across)
        row_bytes = units[1] * (across * down + 2)
        data = _decompressed(file, page, number, units[0], row_bytes)
        groups = np.frombuffer(data, np.uint8).reshape(*units, across * down + 2)
        four = groups[..., :-2].reshape(*units, down, across).swapaxes(1, 2)
        y = four.reshape(units[0] * down, units[1] * across, 1)
        colours = groups[..., -2:].repeat(down, axis=0).repeat(across, axis=1)
        whole = np.concatenate([y, colours], axis=-1)[:rows, :columns]
        seen = found[top : top + rows, left : left + columns]
        seen[:] = whole[: seen.shape[0], : seen.shape[1]]
    return found
