"""TIFFs of 16 bits a channel, which Pillow cannot write in colour or with alpha.

Format: TIFF, revision 6.0, Adobe 1992; the pixels are deflated (Adobe Photoshop TIFF notes, 2002).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from jaxtyping import UInt8, UInt16
from PIL import Image

_STRIP_ROWS = 64
_TEXTS = (270, 271, 272, 305, 306, 315, 33432)  # description, camera, software, date, artist, ...


def write_deep_tiff(
    path: Path,
    samples: UInt16[np.ndarray, "h w *c"],
    alpha: UInt8[np.ndarray, "h w"] | None = None,
    icc: bytes | None = None,
    exif: bytes | None = None,
    resolution: tuple[float, float] | None = None,
) -> None:
    """Writes grey (h, w) or RGB (h, w, 3) samples of 16 bits, with 8-bit opacity if there is one.

    `icc` is a colour profile, `resolution` in dots an inch. Of the EXIF block the texts are kept:
    who, when, and with which camera.
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
        rowsperstrip=_STRIP_ROWS,
        iccprofile=icc,
        resolution=resolution,
        resolutionunit=None if resolution is None else "INCH",
        metadata=None,
        software=False,
        extratags=_texts(exif),
    )


def _texts(exif: bytes | None) -> list[tuple]:
    block = Image.Exif()
    if exif is not None:
        block.load(exif)
    found = [(tag, str(block[tag])) for tag in _TEXTS if tag in block]
    # TIFF holds ASCII.
    return [(tag, 2, len(text) + 1, text, True) for tag, text in found if text.isascii() and text]
