r"""Measures how much restored frames flicker.

python -m experiments.flicker frames.csv          pairs of successive frames, in order
python -m experiments.flicker still photo.png     twelve frames of rain that falls on a photo
"""

from __future__ import annotations

import sys

import numpy as np

from fftdiff_jax import Restorer
from fftdiff_jax.data.images import load_photo
from fftdiff_jax.data.manifest import read_manifest
from fftdiff_jax.data.rain_styles import sample_style
from fftdiff_jax.evaluation.flicker import flicker, moving_rain
from fftdiff_jax.pixels import centre_crop
from fftdiff_jax.restore.steady import steadied

FRAMES, SIDE = 12, 320
KINDS = ("drizzle", "shower", "downpour", "near")


def show(restorer: Restorer, name: str, clean: list[np.ndarray], rainy: list[np.ndarray]) -> None:
    """Prints a line for each kind of frames."""
    restored = [restorer(frame) for frame in rainy]
    tripod = list(steadied(restored))
    kinds = (("clean", clean), ("rainy", rainy), ("restored", restored), ("--tripod", tripod))
    for kind, frames in kinds:
        change, error, tone, psnr = flicker(frames, clean)
        print(f"| {name} | {kind} | {change:.2f} | {error:.2f} | {tone:.2f} | {psnr:.2f} |")


def main(words: list[str]) -> None:
    """Prints a table."""
    restorer = Restorer.pretrained()
    print("| frames | | change | of the error | of its tone | PSNR |\n|---|---|---|---|---|---|")
    if words[0] == "still":
        for number, path in enumerate(words[1:]):
            photo = centre_crop(load_photo(path), SIDE)
            for kind in KINDS:
                rng = np.random.default_rng((number, len(kind)))
                style = sample_style(rng, kind)
                rainy = list(moving_rain(photo, rng, style, FRAMES))
                show(restorer, f"{number + 1}, {kind}", [photo] * FRAMES, rainy)
        return
    rows = read_manifest(words[0]).rows
    clean = [load_photo(row.clean) for row in rows]
    show(restorer, "clip", clean, [load_photo(row.rainy) for row in rows if row.rainy])


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(__doc__)
    main(sys.argv[1:])
