"""Small data sets that the tests make for themselves."""

from pathlib import Path

import numpy as np
from PIL import Image


def photo(height, width, seed=0):
    """A smooth coloured picture with some noise, different for every seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    return np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)


def wet(clean, seed=0):
    """The photo with bright columns, so that it differs from the clean one everywhere it should."""
    rainy = clean.astype(int)
    rainy[:, np.random.default_rng(seed).random(clean.shape[1]) < 0.2] += 60
    return np.clip(rainy, 0, 255).astype(np.uint8)


def save(path, array, **options):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def numbered(height, width):
    """A pair whose pixels say where they lie: (row, column, side), exact in a PNG."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    clean = np.stack([rows, columns, np.zeros_like(rows)], axis=-1)
    rainy = np.stack([rows, columns, np.full_like(rows, 255)], axis=-1)
    return clean, rainy


def pairs_csv(folder, count=4, size=(40, 48), split=None, make=None):
    """Writes `count` pairs and their manifest; returns the CSV's path."""
    lines = ["image_filepath,image_rain_filepath" + (",split" if split else "")]
    for i in range(count):
        clean = photo(*size, seed=i)
        rainy = wet(clean, seed=i)
        if make is not None:
            clean, rainy = make(i)
        save(folder / f"clean/{i}.png", clean)
        save(folder / f"rainy/{i}.png", rainy)
        lines.append(f"clean/{i}.png,rainy/{i}.png" + (f",{split(i)}" if split else ""))
    path = folder / "pairs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path
