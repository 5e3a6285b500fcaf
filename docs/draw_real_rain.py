"""Draws a sheet of real rainy photos, for which no clean twin exists, before and after.

    python docs/draw_real_rain.py PHOTO... [--left_half] [--checkpoint=DIR] [--output=FILE.jpg]

Two photos a row, each one beside what the weights in the box (or --checkpoint) make of it in one
step. With --left_half only the left half of each file is taken, for data sets that hold pairs.
"""

from __future__ import annotations

import argparse

import numpy as np
from PIL import Image

from fftdiff_jax.data.images import load_photo
from fftdiff_jax.restore.restorer import Restorer

WIDTH, HEIGHT = 300, 190  # of a photo on the sheet
GAP, GUTTER, ACROSS = 2, 6, 2


def main() -> None:
    """Restores the photos and writes the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--left_half", action="store_true")
    parser.add_argument("--checkpoint")
    parser.add_argument("--output", default="real_rain_sheet.jpg")
    given = parser.parse_args()
    from_run = Restorer.from_checkpoint
    restorer = from_run(given.checkpoint) if given.checkpoint else Restorer.pretrained()
    pairs = []
    for path in given.photos:
        photo = load_photo(path)
        if given.left_half:
            photo = np.ascontiguousarray(photo[:, : photo.shape[1] // 2])
        pairs.append((_fitted(photo), _fitted(restorer(photo))))
    down = -(-len(pairs) // ACROSS)
    cell = 2 * WIDTH + GAP
    size = (ACROSS * (cell + GUTTER) - GUTTER, down * (HEIGHT + GAP) - GAP)
    sheet = Image.new("RGB", size, "white")
    for number, pair in enumerate(pairs):
        row, column = divmod(number, ACROSS)
        for side, picture in enumerate(pair):
            left = column * (cell + GUTTER) + side * (WIDTH + GAP)
            sheet.paste(picture, (left, row * (HEIGHT + GAP)))
    sheet.save(given.output, quality=88)
    print(given.output)


def _fitted(photo: np.ndarray) -> Image.Image:
    """The photo's middle in the sheet's proportions, scaled down."""
    height, width = photo.shape[:2]
    scale = max(WIDTH / width, HEIGHT / height)
    image = Image.fromarray(photo).resize(
        (max(WIDTH, round(width * scale)), max(HEIGHT, round(height * scale))),
        Image.Resampling.LANCZOS,
    )
    left, top = (image.width - WIDTH) // 2, (image.height - HEIGHT) // 2
    return image.crop((left, top, left + WIDTH, top + HEIGHT))


if __name__ == "__main__":
    main()
