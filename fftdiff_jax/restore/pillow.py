"""Photos as Pillow opens them: to an array of RGB, and back to an image like the first."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from fftdiff_jax.errors import UserError

_WITH_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")


def to_array(image: Image.Image) -> Shaped[np.ndarray, "h w 3"]:
    """The image's RGB, uint8 or uint16; transparency is left out (`like` puts it back).

    Raises:
      UserError: its pixels are floats, or of more than 16 bits.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image)
        if image.mode == "F" or (values.size and not 0 <= values.min() <= values.max() <= 65535):
            raise UserError(f"a photo has 8 or 16 bits a channel, found an image of {image.mode}")
        return values.astype(np.uint16)[..., None].repeat(3, axis=-1)
    return np.asarray(image.convert("RGBA" if _is_transparent(image) else "RGB"))[..., :3]


def like(image: Image.Image, restored: Shaped[np.ndarray, "h w 3"]) -> Image.Image:
    """The restored photo as an image of the same kind: grey stays grey, transparency stays.

    Modes other than RGB, L and those with alpha come back as RGB. What the file said of the image
    (colour profile, EXIF) is kept in `info`, for `save`.
    """
    deep = restored.dtype == np.uint16
    found = Image.fromarray(np.ascontiguousarray(restored[..., 1] if deep else restored))
    if image.mode in ("L", "LA", "La"):
        found = found.convert("L")
    if _is_transparent(image):
        found.putalpha(image.convert("RGBA").getchannel("A"))
    found.info = {k: v for k, v in image.info.items() if k != "transparency"}
    return found


def _is_transparent(image: Image.Image) -> bool:
    return image.mode in _WITH_ALPHA or "transparency" in image.info
