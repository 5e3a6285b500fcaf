"""PNGs of 16 bits a channel, which Pillow cannot write in colour or with alpha.

Format: Portable Network Graphics (PNG) Specification, third edition, W3C 2025.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8, UInt16


def write_deep_png(
    path: Path,
    samples: UInt16[np.ndarray, "h w *c"],
    alpha: UInt8[np.ndarray, "h w"] | None = None,
    icc: bytes | None = None,
    exif: bytes | None = None,
    resolution: tuple[float, float] | None = None,
) -> None:
    """Writes grey (h, w) or RGB (h, w, 3) samples of 16 bits, with 8-bit opacity if there is one.

    `icc` is a colour profile, `exif` an EXIF block, `resolution` in dots an inch.
    """
    channels = [samples[..., None] if samples.ndim == 2 else samples]
    if alpha is not None:
        channels.append(alpha[..., None].astype(np.uint16) * 257)
    pixels = np.concatenate(channels, axis=-1).astype(">u2")
    height, width, count = pixels.shape
    rows = pixels.reshape(height, -1).view(np.uint8)
    up = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))  # modulo 256, as filter 2 says
    filtered = np.concatenate([np.full((height, 1), 2, np.uint8), up], axis=1)
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[count]

    parts = [
        b"\x89PNG\r\n\x1a\n",
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)),
    ]
    if icc is not None:
        parts.append(_chunk(b"iCCP", b"profile\0\0" + zlib.compress(icc)))
    if resolution is not None:
        x, y = (round(value / 0.0254) for value in resolution)
        parts.append(_chunk(b"pHYs", struct.pack(">IIB", x, y, 1)))
    if exif is not None:
        parts.append(_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
    parts += [_chunk(b"IDAT", zlib.compress(filtered.tobytes(), 6)), _chunk(b"IEND", b"")]
    path.write_bytes(b"".join(parts))


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
