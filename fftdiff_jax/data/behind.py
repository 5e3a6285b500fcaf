"""What lies in a file besides its picture and is not kept: told, not copied."""

from __future__ import annotations

import re
import struct
from typing import Any, BinaryIO

from fftdiff_jax.data.photo import Description

# Marks in XMP of what lies behind a JPEG's picture.
_IN_XMP = {b"MotionPhoto": "the film", b"MicroVideo": "the film", b"hdrgm:": "the map of its glow"}
# The end of a scan of a JPEG: a mark that is neither a stuffed zero, a restart nor filling.
_MARK = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
# Colour primaries and transfer functions that are sRGB's or unspecified (ITU-T H.273).
_PRIMARIES, _TRANSFERS = (1, 2), (1, 2, 6, 13)


def notes(
    file: BinaryIO, file_format: str, said: Description, info: dict[Any, Any], further: bool
) -> list[str]:
    """In words, of a file of which `info` is what Pillow says; `further`: it has more pictures."""
    found = [what for mark, what in _IN_XMP.items() if said.xmp and mark in said.xmp]
    if info.get("depth_images"):
        found.append("the map of depth")
    if info.get("aux"):
        found.append("maps that go with the picture")
    if file_format in ("AVIF", "HEIF") and not said.icc:
        found += _colours(file)
    if file_format in ("JPEG", "PNG") and not found and not further:
        file.seek(0)
        data = file.read()
        rest = data[(_end_of_jpeg if file_format == "JPEG" else _end_of_png)(data) :]
        if rest.strip(b"\0\r\n \xff"):
            found.append(f"{len(rest)} bytes behind the picture")
    return found


def _colours(file: BinaryIO) -> list[str]:
    file.seek(0)
    head = file.read(2**16)
    at = head.find(b"colrnclx")
    if at < 0 or len(head) < at + 12:
        return []
    primaries, transfer = struct.unpack_from(">HH", head, at + 8)
    if primaries in _PRIMARIES and transfer in _TRANSFERS:
        return []
    return [f"its colours, of the kind {primaries}/{transfer} of H.273: it is marked as sRGB"]


def _end_of_png(data: bytes) -> int:
    at = 8
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        at += 12 + length
        if name == b"IEND":
            return at
    return len(data)


def _end_of_jpeg(data: bytes) -> int:
    at = 2
    while found := _MARK.search(data, at):
        at, mark = found.end(), data[found.end() - 1]
        if mark == 0xD9:
            return at
        if not (mark == 0x01 or 0xD0 <= mark <= 0xD8) and at + 2 <= len(data):
            at += struct.unpack_from(">H", data, at)[0]
    return len(data)
