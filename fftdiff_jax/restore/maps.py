"""A map of where a restorer guesses, drawn over the photo, with a legend in grey levels."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

# From "sure" to "guessed": dark blue to yellow, of even steps in lightness (Nunez et al. 2018).
COLOURS = (
    *((0, 34, 78), (53, 69, 108), (102, 105, 112)),
    *((148, 142, 119), (200, 184, 102), (254, 232, 56)),
)
LEAST_FULL = 4.0  # grey levels: below that no map is stretched to, or it would show rounding
LEGEND = 28  # pixels of the strip below the photo


def guess_map(
    photo: UInt8[np.ndarray, "h w 3"], spread: Float[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h2 w 3"]:
    """The photo in grey, coloured where draws differ, above a strip that says by how much.

    Args:
      photo: what was restored.
      spread: the deviation of the draws at each pixel, in [0, 1].
    """
    levels = 255 * spread
    full = max(float(np.percentile(levels, 99)), LEAST_FULL)
    shown = np.clip(levels / full, 0, 1)[..., None]
    grey = photo.mean(axis=-1, keepdims=True)
    # The photo stays to be seen below the colours, in its lights and darks.
    drawn = _coloured(shown[..., 0]) * (0.45 + 0.55 * grey / 255)
    return np.concatenate([drawn.astype(np.uint8), _legend(photo.shape[1], full)])


def _coloured(values: Float[np.ndarray, "*s"]) -> Float[np.ndarray, "*s 3"]:
    """Colours from 0 to 255 of values from 0 to 1."""
    places = np.linspace(0, 1, len(COLOURS))
    channels = [np.interp(values, places, channel) for channel in zip(*COLOURS, strict=True)]
    return np.stack(channels, axis=-1)


def _legend(width: int, full: float) -> UInt8[np.ndarray, "l w 3"]:
    strip = np.full((LEGEND, width, 3), 255, np.uint8)
    bar = _coloured(np.linspace(0, 1, width))
    strip[: LEGEND // 3] = bar.astype(np.uint8)
    image = Image.fromarray(strip)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(LEGEND // 2)
    words = [("0", 0.0, "lt"), (f"{full:.0f} grey levels", 1.0, "rt")]
    if width < 200:
        words = [(f"0..{full:.0f}", 0.0, "lt")]
    for text, place, anchor in words:
        at = (2 + place * (width - 4), LEGEND // 3 + 3)
        pen.text(at, text, fill=(0, 0, 0), font=font, anchor=anchor)
    return np.asarray(image)
