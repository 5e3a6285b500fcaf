"""Photos as Pillow opens them: to an array of RGB, and back to an image like the first."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from PIL import Image

_WITH_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")


def to_array(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """The image's RGB; transparency is left out (`like` puts it back)."""
    return np.asarray(image.convert("RGBA" if _is_transparent(image) else "RGB"))[..., :3]


def like(image: Image.Image, restored: UInt8[np.ndarray, "h w 3"]) -> Image.Image:
    """The restored photo as an image of the same kind: grey stays grey, transparency stays.

    Modes other than RGB, L and those with alpha come back as RGB. What the file said of the image
    (colour profile, EXIF) is kept in `info`, for `save`.
    """
    found = Image.fromarray(np.ascontiguousarray(restored))
    if image.mode in ("L", "LA", "La"):
        found = found.convert("L")
    if _is_transparent(image):
        found.putalpha(image.convert("RGBA").getchannel("A"))
    found.info = {k: v for k, v in image.info.items() if k != "transparency"}
    return found


def _is_transparent(image: Image.Image) -> bool:
    return image.mode in _WITH_ALPHA or "transparency" in image.info
