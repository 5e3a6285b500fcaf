"""What files say of their pictures: read from JPEG, PNG and others, and put into them.

The blocks that carry it are copied as they are, by what the formats say of them: what describes a
picture, and never what says how it is stored.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

from PIL import Image

from fftdiff_jax.data import boxes, exif, extensions, resources
from fftdiff_jax.data.photo import Description

Block = tuple[bytes, bytes]

_EXIF_MARK, _XMP_MARK = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_PHOTOSHOP_MARK = b"Photoshop 3.0\0"
_SEGMENT = 65533  # most bytes of one
_MOST_HEAD = 2**16  # of a PNM
_MOST_TEXT = 2**24  # of what is compressed in a PNG
# APP0 and APP14 say how the pixels are stored; profiles (APP2 with this mark) are Pillow's part.
_OF_STORAGE = (0xE0, 0xEE)
_PROFILE_MARK, _PICTURES_MARK = b"ICC_PROFILE\0", b"MPF\0"
# Chunks of colour, size, time and text (PNG, third edition); of others those that say themselves
# that a changed picture may keep them.
_CHUNKS = {
    *(b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"tIME", b"tEXt", b"zTXt", b"iTXt"),
    *(b"sPLT", b"pHYs", b"oFFs", b"pCAL", b"sCAL", b"sTER", b"bKGD"),
}
_RAW_EXIF = (b"Raw profile type exif\0", b"Raw profile type APP1\0")
_PNG_XMP = b"XML:com.adobe.xmp\0"
_PNM_NUMBER = rb"(?:\s+(?:#[^\n\r]*[\n\r]\s*)*\d+)"
_PNM_HEAD = re.compile(rb"P(?:[14]%b{2}|[2356]%b{3})" % (_PNM_NUMBER, _PNM_NUMBER))
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>\s*))([2-8])")


def describe(image: Image.Image, file: BinaryIO, size: tuple[int, int]) -> Description:
    """What a file that Pillow reads says of its picture, upright and of this (width, height).

    The picture has been decoded: some files say it after the pixels.
    """
    info = image.info
    block = _bytes(info.get("exif"))
    xmp = _bytes(info.get("xmp") or info.get("XML:com.adobe.xmp"))
    iptc, icc, comment = None, info.get("icc_profile"), _bytes(info.get("comment"))
    blocks: tuple[Block, ...] = ()
    if image.format in ("JPEG", "MPO"):
        segments = list(_segments(file))
        block = b"".join(_after(body, _EXIF_MARK) for mark, body in segments if mark == 0xE1)
        blocks = tuple(_kept_segments(segments))
        iptc = resources.iptc(_of_photoshop(segments))
    elif image.format == "PNG":
        chunks = list(_chunks(file))
        block = block or _raw_exif(chunks)
        blocks = tuple(_kept_chunks(chunks))
    elif image.format == "AVIF":
        # As it is in the file: Pillow writes it anew where the file is turned.
        decoder = getattr(image, "_decoder", None)
        block = decoder.get_info()[4] if decoder is not None else block
    elif image.format == "JPEG2000":
        blocks = tuple(boxes.described(file))
        icc = next((body[3:] for name, body in blocks if name == b"colr" and body[0] != 1), None)
    elif image.format == "GIF":
        file.seek(0)
        kept, xmp, icc = extensions.described(file.read())
        blocks = tuple(kept)
    elif image.format == "PPM":
        comment = _pnm_comment(file)
    elif image.format in ("BMP", "DIB"):
        icc = _bmp_profile(file)
    block = block.removeprefix(_EXIF_MARK) if block else None
    return Description(
        exif.upright(block, size) if block else None,
        xmp_upright(xmp) if xmp else None,
        iptc,
        icc or None,
        comment,
        _resolution(info),
        blocks,
    )


def of_one_format(said: Description, file_format: str) -> list[str]:
    """Names of the blocks that go to no other format: all but comments, captions, XMP, resolution.

    Captions (IPTC) lie among Photoshop's resources, and are told by themselves.
    """
    names, photoshop = [], b""
    for name, body in said.blocks:
        if file_format == "TIFF" or (name == b"\xed" and body.startswith(_PHOTOSHOP_MARK)):
            photoshop += body.removeprefix(_PHOTOSHOP_MARK)
        elif file_format in ("JPEG", "MPO"):
            if name != b"\xfe":
                names.append(f"APP{name[0] - 0xE0}")
        elif name not in (b"pHYs", b"colr") and not body.startswith(_PNG_XMP):
            names.append(name.decode("latin-1").strip())
    if resources.besides_iptc(photoshop):
        names.append("resources of Photoshop")
    return list(dict.fromkeys(names))


def orientation(info: dict[Any, Any]) -> int:
    """1 to 8, by EXIF or else by XMP; `info` is what Pillow says of a file."""
    block, raw = _bytes(info.get("exif")), info.get("Raw profile type exif")
    if not block and isinstance(raw, str):
        block = _of_hex(raw.encode("utf-8", "replace"))
    found = exif.orientation(block.removeprefix(_EXIF_MARK), otherwise=0) if block else 0
    xmp = _bytes(info.get("xmp") or info.get("XML:com.adobe.xmp"))
    if not found and xmp and (match := _XMP_ORIENTATION.search(xmp)):
        found = int(match[2])
    return found or 1


def holds_bomb(file: BinaryIO) -> bool:
    """Whether the EXIF of a JPEG would fill the memory of a library that reads all of it."""
    block = b"".join(_after(body, _EXIF_MARK) for mark, body in _segments(file) if mark == 0xE1)
    return exif.is_bomb(block)


def xmp_upright(xmp: bytes) -> bytes:
    """An XMP packet, or what holds one, that says the orientation 1."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def into_jpeg(encoded: bytes, said: Description, own: bool) -> Iterator[bytes]:
    """A JPEG with what was said of it; `own`: it was said in a JPEG."""
    own = own and bool(said.blocks)
    start = 2
    if encoded[2:4] == b"\xff\xe0":
        start = 4 + struct.unpack_from(">H", encoded, 4)[0]
    yield encoded[:start]
    step = _SEGMENT - len(_EXIF_MARK)
    for at in range(0, len(said.exif or b""), step):
        yield _segment(0xE1, _EXIF_MARK + (said.exif or b"")[at : at + step])
    segments = list(said.blocks) if own else []
    if said.xmp and len(said.xmp) <= _SEGMENT - len(_XMP_MARK):
        segments.insert(0, (b"\xe1", _XMP_MARK + said.xmp))
    if not own and said.comment:
        segments.append((b"\xfe", said.comment[:_SEGMENT]))
    if not own and said.iptc and len(said.iptc) < _SEGMENT - 40:
        segments.append((b"\xed", _PHOTOSHOP_MARK + resources.of_iptc(said.iptc)))
    for mark, body in segments:
        yield _segment(mark[0], body)
    yield encoded[start:]


def into_png(encoded: bytes, said: Description, own: bool) -> Iterator[bytes]:
    """A PNG with what was said of it; `own`: it was said in a PNG."""
    own = own and bool(said.blocks)
    end = 8 + 12 + 13
    yield encoded[:end]
    if said.icc:
        yield chunk(b"iCCP", b"profile\0\0" + zlib.compress(said.icc))
    colours = encoded[25] & 2
    for name, body in said.blocks if own else _new_chunks(said):
        if name != b"bKGD" or len(body) == (6 if colours else 2):
            yield chunk(name, body)
    if said.exif:
        yield chunk(b"eXIf", said.exif)
    yield encoded[end:]


def chunk(name: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _bytes(value: Any) -> bytes | None:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    return bytes(value) if value else None


def _after(body: bytes, mark: bytes) -> bytes:
    return body[len(mark) :] if body.startswith(mark) else b""


def _resolution(info: dict[Any, Any]) -> tuple[float, float] | None:
    try:
        x, y = info["dpi"]
        return (float(x), float(y)) if 0 < x < 1e6 and 0 < y < 1e6 else None
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def _segment(mark: int, body: bytes) -> bytes:
    return b"\xff" + bytes([mark]) + struct.pack(">H", len(body) + 2) + body


def _segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Mark and content of what comes before the pixels of a JPEG."""
    file.seek(2)
    while len(head := file.read(4)) == 4:
        while head[:2] == b"\xff\xff":  # a mark may be filled up
            head = head[1:] + file.read(1)
        mark, length = head[1], struct.unpack(">H", head[2:])[0]
        if head[0] != 0xFF or mark in (0xDA, 0xD9) or length < 2:
            return
        yield mark, file.read(length - 2)


def _of_photoshop(segments: Iterable[tuple[int, bytes]]) -> bytes:
    """Photoshop's resources, which may fill several segments."""
    return b"".join(_after(body, _PHOTOSHOP_MARK) for mark, body in segments if mark == 0xED)


def _kept_segments(segments: Sequence[tuple[int, bytes]]) -> Iterator[Block]:
    marks = (_EXIF_MARK, _XMP_MARK, _PROFILE_MARK, _PICTURES_MARK, _PHOTOSHOP_MARK)
    kept = resources.without_thumbnail(_of_photoshop(segments))
    step = _SEGMENT - len(_PHOTOSHOP_MARK)
    for at in range(0, len(kept), step):
        yield b"\xed", _PHOTOSHOP_MARK + kept[at : at + step]
    for mark, body in segments:
        described = 0xE0 <= mark <= 0xEF or mark == 0xFE
        if described and mark not in _OF_STORAGE and not body.startswith(marks):
            yield bytes([mark]), body


def _chunks(file: BinaryIO) -> Iterator[Block]:
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name in (b"IDAT", b"fdAT"):
            file.seek(length + 4, 1)
        elif name == b"IEND":
            return
        else:
            body = file.read(length)
            if len(body) < length:
                return
            yield name, body
            file.seek(4, 1)


def _kept_chunks(chunks: Iterable[Block]) -> Iterator[Block]:
    for name, body in chunks:
        harmless = name[:1].islower() and name[3:].islower() and name != b"eXIf"
        if (harmless or name in _CHUNKS) and not body.startswith(_RAW_EXIF):
            yield name, _xmp_chunk_upright(body) if body.startswith(_PNG_XMP) else body


def _xmp_chunk_upright(body: bytes) -> bytes:
    mark, rest = len(_PNG_XMP), body[len(_PNG_XMP) :]
    if rest[:1] != b"\1":
        return xmp_upright(body)
    head = rest[:2] + b"".join(part + b"\0" for part in rest[2:].split(b"\0", 2)[:2])
    try:
        text = zlib.decompressobj().decompress(rest[len(head) :], _MOST_TEXT)
    except zlib.error:
        return body
    return body[:mark] + head + zlib.compress(xmp_upright(text))


def _raw_exif(chunks: Iterable[Block]) -> bytes | None:
    """The EXIF block that ImageMagick writes as text."""
    for name, body in chunks:
        if name in (b"tEXt", b"zTXt") and body.startswith(_RAW_EXIF):
            try:
                text = body.partition(b"\0")[2]
                text = zlib.decompressobj().decompress(text[1:], 2**20) if name == b"zTXt" else text
            except zlib.error:
                return None
            return _of_hex(text)
    return None


def _of_hex(text: bytes) -> bytes | None:
    """The bytes of a raw profile: a name, their number, then they in hexadecimal."""
    try:
        return bytes.fromhex(b"".join(text.split()[2:]).decode("ascii"))
    except ValueError:
        return None


def _new_chunks(said: Description) -> Iterator[Block]:
    if said.resolution:
        x, y = (round(value / 0.0254) for value in said.resolution)
        yield b"pHYs", struct.pack(">IIB", x, y, 1)
    if said.xmp:
        yield b"iTXt", _PNG_XMP + b"\0\0\0\0" + said.xmp
    if said.comment:
        yield b"iTXt", b"Comment\0\0\0\0\0" + said.comment


def _pnm_comment(file: BinaryIO) -> bytes | None:
    file.seek(0)
    head = _PNM_HEAD.match(file.read(_MOST_HEAD))
    lines = re.findall(rb"#[ \t]?([^\n\r]*)", head[0]) if head else []
    return b"\n".join(lines) or None


def _bmp_profile(file: BinaryIO) -> bytes | None:
    """The profile in a bitmap with the fifth of Windows' heads."""
    file.seek(0)
    head = file.read(14 + 124)
    start = 14 if head[:2] == b"BM" else 0
    if len(head) < start + 124 or struct.unpack_from("<I", head, start)[0] < 124:
        return None
    kind, place, length = (
        head[start + 56 : start + 60],
        *struct.unpack_from("<II", head, start + 112),
    )
    file.seek(start + place)
    return file.read(length) if kind == b"DEBM" else None
