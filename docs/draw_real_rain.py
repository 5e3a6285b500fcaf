"""Draws a sheet of real rainy photos, for which no clean twin exists, before and after.

    python docs/draw_real_rain.py PHOTO... [--across=2] [--width=300] [--draws=N]
        [--checkpoint=DIR] [--output=FILE.jpg]

Each photo stands beside what the weights in the box (or --checkpoint) make of it, and with --draws
beside so many single draws too. Of a file that
holds the same photo twice, side by side, one is taken.
"""

from __future__ import annotations

import argparse

import numpy as np
from PIL import Image

from fftdiff_jax.data.images import load_photo
from fftdiff_jax.restore.restorer import Restorer

PROPORTION = 0.63  # height over width of a photo on the sheet
GAP, GUTTER = 2, 6
SAME = 6.0  # grey levels that two copies in one JPEG differ by at most, on average


def main() -> None:
    """Restores the photos and writes the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--across", type=int, default=2, help="photos in a row")
    parser.add_argument("--width", type=int, default=300, help="of each, in pixels")
    parser.add_argument("--draws", type=int, default=0, help="single draws beside each")
    parser.add_argument("--checkpoint")
    parser.add_argument("--output", default="real_rain_sheet.jpg")
    given = parser.parse_args()
    from_run = Restorer.from_checkpoint
    restorer = from_run(given.checkpoint) if given.checkpoint else Restorer.pretrained()
    width, height = given.width, round(given.width * PROPORTION)
    rows = []
    for path in given.photos:
        photo = _once(load_photo(path))
        draws = restorer.sample(photo, draws=given.draws) if given.draws else ()
        rows.append([_fitted(some, width, height) for some in (photo, restorer(photo), *draws)])
    down = -(-len(rows) // given.across)
    cell = len(rows[0]) * (width + GAP) - GAP
    size = (given.across * (cell + GUTTER) - GUTTER, down * (height + GAP) - GAP)
    sheet = Image.new("RGB", size, "white")
    for number, pictures in enumerate(rows):
        row, column = divmod(number, given.across)
        for place, picture in enumerate(pictures):
            left = column * (cell + GUTTER) + place * (width + GAP)
            sheet.paste(picture, (left, row * (height + GAP)))
    sheet.save(given.output, quality=86)
    print(given.output)


def _once(photo: np.ndarray) -> np.ndarray:
    """The left half, where the right one shows the same."""
    half = photo.shape[1] // 2
    left, right = photo[:, :half].astype(float), photo[:, -half:].astype(float)
    if np.abs(left - right).mean() > SAME:
        return photo
    return np.ascontiguousarray(photo[:, :half])


def _fitted(photo: np.ndarray, wide: int, high: int) -> Image.Image:
    """The photo's middle in the sheet's proportions, scaled down."""
    height, width = photo.shape[:2]
    scale = max(wide / width, high / height)
    image = Image.fromarray(photo).resize(
        (max(wide, round(width * scale)), max(high, round(height * scale))),
        Image.Resampling.LANCZOS,
    )
    left, top = (image.width - wide) // 2, (image.height - high) // 2
    return image.crop((left, top, left + wide, top + high))


if __name__ == "__main__":
    main()
