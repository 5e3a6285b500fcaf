"""Resources of Photoshop in JPEG and TIFF: captions (IPTC), paths, settings, a thumbnail."""

from __future__ import annotations

import struct
from collections.abc import Iterator

IPTC = 1028
_IPTC_DIGEST = 1061
_THUMBNAILS = (1033, 1036)
_KINDS = (b"8BIM", b"8BPS", b"MeSa", b"PHUT", b"AgHg", b"DCSR")


def without_thumbnail(data: bytes) -> bytes:
    """The same resources without a small picture of how the photo was before."""
    return b"".join(part for number, _, part in _resources(data) if number not in _THUMBNAILS)


def iptc(data: bytes) -> bytes | None:
    """The captions (IIM) among resources."""
    return next((body for number, body, _ in _resources(data) if number == IPTC), None)


def besides_iptc(data: bytes) -> bool:
    """Whether there are others than captions and what goes with them: their checksum."""
    return any(number not in (IPTC, _IPTC_DIGEST) for number, _, _ in _resources(data))


def of_iptc(body: bytes) -> bytes:
    """A resource of captions."""
    head = b"8BIM" + struct.pack(">HHI", IPTC, 0, len(body))
    return head + body + b"\0" * (len(body) % 2)


def _resources(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number, content and all bytes of each; what cannot be read is one of number 0."""
    at = 0
    while data[at : at + 4] in _KINDS and at + 12 <= len(data):
        start, (number, named) = at, struct.unpack_from(">HB", data, at + 4)
        at += 6 + named + 1 + (named + 1) % 2
        if at + 4 > len(data):
            at = start
            break
        length = struct.unpack_from(">I", data, at)[0]
        body = data[at + 4 : at + 4 + length]
        if len(body) < length:
            at = start
            break
        at += 4 + length + length % 2
        yield number, body, data[start:at]
    if at < len(data):
        yield 0, b"", data[at:]
