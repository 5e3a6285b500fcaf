"""Extensions of GIF that say something of the picture (GIF89a, CompuServe 1990)."""

from __future__ import annotations

from fftdiff_jax.data.photo import Description

Block = tuple[bytes, bytes]

_XMP, _PROFILE = b"XMP DataXMP", b"ICCRGBG1012"
_OF_FILMS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_XMP_END = bytes([1, *range(255, -1, -1), 0])  # by which readers find out of a packet


def described(data: bytes) -> tuple[list[Block], bytes | None, bytes | None]:
    """Applications' extensions of a file by their names, as they are; its XMP and its profile."""
    found: list[Block] = []
    xmp = profile = None
    at = _after_head(data)
    while at < len(data) and data[at] in (0x21, 0x2C):
        if data[at] == 0x2C:  # a picture: its own colours, then its pixels
            own = data[at + 9] if at + 9 < len(data) else 0
            at = _after_parts(data, at + 11 + _palette_bytes(own))
            continue
        start, name, body = at, data[at + 3 : at + 14], at + 14
        application = data[at + 1 : at + 3] == b"\xff\x0b"
        at = _after_parts(data, at + 2)
        if not application or name in _OF_FILMS or data[at - 1 : at] != b"\0":
            continue
        found.append((name, data[start:at]))
        if name == _XMP:
            xmp = data[body:at].removesuffix(_XMP_END)
        elif name == _PROFILE:
            profile = _parts(data, body)
    return found, xmp, profile


def into(encoded: bytes, said: Description, own: bool) -> list[bytes]:
    """A GIF with what was said of it; `own`: it was said in a GIF."""
    blocks = [body for _, body in said.blocks] if own and said.blocks else []
    if not blocks and said.icc:
        parts = (said.icc[i : i + 255] for i in range(0, len(said.icc), 255))
        body = b"".join(bytes([len(part)]) + part for part in parts)
        blocks.append(b"\x21\xff\x0b" + _PROFILE + body + b"\0")
    if not (own and said.blocks) and said.xmp:
        blocks.append(b"\x21\xff\x0b" + _XMP + said.xmp + _XMP_END)
    at = _after_head(encoded)
    head = encoded[:at].replace(b"GIF87a", b"GIF89a", 1) if blocks else encoded[:at]
    return [head, *blocks, encoded[at:]]


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_head(data: bytes) -> int:
    return 13 + _palette_bytes(data[10] if len(data) > 10 else 0)


def _after_parts(data: bytes, at: int) -> int:
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return min(at + 1, len(data))


def _parts(data: bytes, at: int) -> bytes:
    found = b""
    while at < len(data) and data[at]:
        found += data[at + 1 : at + 1 + data[at]]
        at += 1 + data[at]
    return found
