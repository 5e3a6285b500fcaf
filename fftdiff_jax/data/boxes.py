"""Boxes of JPEG 2000 that say something of the picture (ISO/IEC 15444-1, annex I)."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

from fftdiff_jax.data.photo import Description

Box = tuple[bytes, bytes]

_DESCRIBING = (b"xml ", b"uuid", b"uinf")
# Colours of a JPEG 2000 that decoding turns into sRGB or grey: black and white, inks, sRGB, grey,
# sYCC.
_PLAIN_COLOURS = [struct.pack(">I", number) for number in (0, 15, 12, 16, 17, 18)]


def described(file: BinaryIO) -> Iterator[Box]:
    """Name and content of what describes, and of colours that are no plain sRGB or grey."""
    end = file.seek(0, 2)
    file.seek(0)
    for name, _, length in _boxes(file, end):
        if name in _DESCRIBING:
            yield name, file.read(length)
        elif name == b"jp2h":
            for inner, body in _boxes_in(file.read(length)):
                plain = body[:1] == b"\1" and body[3:7] in _PLAIN_COLOURS
                if inner == b"colr" and len(body) >= 7 and not plain:
                    yield inner, body


def into(encoded: bytes, said: Description, own: bool) -> Iterator[bytes]:
    """A JPEG 2000 with what was said of it; a bare codestream has no place for it."""
    if encoded[4:8] != b"jP  ":
        yield encoded
        return
    kept = list(said.blocks) if own else []
    # The profile of inks has been taken out of what is said where they have become RGB.
    head = [body for name, body in kept if name == b"colr" and (body[0] == 1 or said.icc)]
    if not head and said.icc:
        head = [b"\2\0\0" + said.icc]
    for name, body in _boxes_in(encoded):
        if name == b"jp2h":
            within = [(b"colr", b"\2" + new[1:] if new[0] == 3 else new) for new in head[:1]]
            within = [box for box in _boxes_in(body) if box[0] != b"colr" or not head] + within
            if said.resolution:
                within.append((b"res ", _box(b"resc", _ratios(said.resolution))))
            body = b"".join(_box(*box) for box in within)
        yield _box(name, body)
    for name, body in kept:
        if name != b"colr":
            yield _box(name, body)


def _boxes(file: BinaryIO, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, place and length of what is in each box of a JPEG 2000, from where the file stands."""
    while (start := file.tell()) < end and len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        length = end - start if length == 0 else length
        place = file.tell()
        if not place - start <= length <= end - start:
            return
        yield name, place, start + length - place
        file.seek(start + length)


def _boxes_in(data: bytes) -> Iterator[Box]:
    file = io.BytesIO(data)
    for name, place, length in _boxes(file, len(data)):
        yield name, data[place : place + length]


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + name + body


def _ratios(resolution: tuple[float, float]) -> bytes:
    """Dots a metre, down and across, as fractions and powers of ten."""
    powers, values = [], []
    for value in resolution[::-1]:
        power = 0
        while value / 0.0254 > 0xFFFF * 10**power:
            power += 1
        powers.append(power)
        values += [round(value / 0.0254 / 10**power), 1]
    return struct.pack(">4H2B", *values, *powers)
