"""PNGs and TIFFs of 16 bits a channel, which Pillow cannot write in colour or with alpha.

Formats: Portable Network Graphics (PNG) Specification, third edition, W3C 2025; TIFF, revision 6.0,
Adobe 1992, with deflated pixels (Adobe Photoshop TIFF notes, 2002).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tifffile
from jaxtyping import UInt8, UInt16
from PIL import Image

STRIP_ROWS = 256  # of a PNG: held at a time in the file's own form
_TIFF_STRIP_ROWS = 64
_TIFF_TEXTS = (270, 271, 272, 305, 306, 315, 33432)  # description, camera, software, date, artist


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
    planes = [samples[..., None] if samples.ndim == 2 else samples]
    if alpha is not None:
        planes.append(alpha[..., None])
    height, width = samples.shape[:2]
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[sum(plane.shape[-1] for plane in planes)]
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.write(
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
        )
        if icc is not None:
            file.write(_chunk(b"iCCP", b"profile\0\0" + zlib.compress(icc)))
        if resolution is not None:
            x, y = (round(value / 0.0254) for value in resolution)
            file.write(_chunk(b"pHYs", struct.pack(">IIB", x, y, 1)))
        if exif is not None:
            file.write(_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
        for part in _compressed(planes):
            file.write(_chunk(b"IDAT", part))
        file.write(_chunk(b"IEND", b""))


def write_deep_tiff(
    path: Path,
    samples: UInt16[np.ndarray, "h w *c"],
    alpha: UInt8[np.ndarray, "h w"] | None = None,
    icc: bytes | None = None,
    exif: bytes | None = None,
    resolution: tuple[float, float] | None = None,
) -> None:
    """Writes what `write_deep_png` writes as a TIFF.

    Of the EXIF block the texts are kept: who, when, and with which camera.
    """
    channels = [samples[..., None] if samples.ndim == 2 else samples]
    if alpha is not None:
        channels.append(alpha[..., None].astype(np.uint16) * 257)
    pixels = np.concatenate(channels, axis=-1)
    tifffile.imwrite(
        path,
        pixels[..., 0] if pixels.shape[-1] == 1 else pixels,
        photometric="rgb" if samples.ndim == 3 else "minisblack",
        planarconfig="contig" if pixels.shape[-1] > 1 else None,
        extrasamples=None if alpha is None else ["unassalpha"],
        compression="zlib",
        rowsperstrip=_TIFF_STRIP_ROWS,
        iccprofile=icc,
        resolution=resolution,
        resolutionunit=None if resolution is None else "INCH",
        metadata=None,
        software=False,
        extratags=_texts(exif),
    )


def _compressed(planes: Sequence[np.ndarray]) -> Iterator[bytes]:
    """The pixels as filtered and compressed bytes, some rows in memory at a time."""
    squeeze = zlib.compressobj(6)
    above = None
    for top in range(0, len(planes[0]), STRIP_ROWS):
        # 257 stretches 8 bits of opacity over 16.
        strips = [
            plane[top : top + STRIP_ROWS].astype(np.uint16)
            * (257 if plane.dtype == np.uint8 else 1)
            for plane in planes
        ]
        pixels = np.concatenate(strips, axis=-1).astype(">u2")
        rows = pixels.reshape(len(pixels), -1).view(np.uint8)
        above = np.zeros_like(rows[:1]) if above is None else above
        up = np.diff(rows, axis=0, prepend=above)  # modulo 256, as filter 2 says
        above = rows[-1:]
        filtered = np.concatenate([np.full((len(rows), 1), 2, np.uint8), up], axis=1)
        part = squeeze.compress(filtered.tobytes())
        if part:
            yield part
    yield squeeze.flush()


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _texts(exif: bytes | None) -> list[tuple]:
    block = Image.Exif()
    if exif is not None:
        block.load(exif)
    found = [(tag, str(block[tag])) for tag in _TIFF_TEXTS if tag in block]
    # TIFF holds ASCII.
    return [(tag, 2, len(text) + 1, text, True) for tag, text in found if text.isascii() and text]
