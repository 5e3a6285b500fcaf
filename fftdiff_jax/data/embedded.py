"""A data set that needs no download: photographs shipped inside scikit-image, rain by rain.py.

Train rows are clean photos whose rain is rendered while training. Val rows are other scenes, with
rain rendered once from fixed seeds, so that scores can be compared between runs and machines.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fftdiff_jax.data import rain
from fftdiff_jax.data.images import load_photo, save_png
from fftdiff_jax.data.manifest import write_manifest
from fftdiff_jax.errors import UserError

# File names, and by what factors each is reduced: 1 as it is, 2 for finer detail. The motorcycle
# photos are one scene seen from two places. Space and microscopy are few on purpose.
_TRAIN = {
    "astronaut.png": (1, 2), "motorcycle_left.png": (1, 2), "motorcycle_right.png": (1, 2),
    "camera.png": (1, 2), "brick.png": (1, 2), "grass.png": (1, 2), "gravel.png": (1, 2),
    "coins.png": (1,), "ihc.png": (1,), "moon.png": (2,), "hubble_deep_field.jpg": (2,),
}  # fmt: skip
_VAL = ("chelsea.png", "coffee.png", "rocket.jpg")
_VAL_KINDS = ("single", "shower", "downpour", "near")  # each val photo is seen in each of them
_VERSION = 3  # raise it with any change of the photos, of their rain or of rain.py


def embedded_manifest(cache_dir: str | os.PathLike[str]) -> Path:
    """Makes the embedded data set below `cache_dir`, or finds it there, and returns its CSV.

    Raises:
      UserError: scikit-image lacks a photo, or the folder cannot be written.
    """
    folder = Path(cache_dir).expanduser().absolute() / f"embedded-{_VERSION}"
    manifest = folder / "embedded.csv"
    if manifest.is_file():
        return manifest  # written last, so everything it names is there
    rows: list[tuple[str, str | None, str]] = []
    for name, factors in _TRAIN.items():
        for factor in factors:
            path = folder / "train" / f"{Path(name).stem}_{factor}.png"
            save_png(path, _reduced(_shipped(name), factor))
            rows.append((str(path), None, "train"))
    for number, name in enumerate(_VAL):
        clean = _shipped(name)
        path = folder / "val" / f"{Path(name).stem}.png"
        save_png(path, clean)
        for version, kind in enumerate(_VAL_KINDS):
            rng = np.random.default_rng((number, version))
            rainy = rain.render_rain(clean, rng, rain.sample_style(rng, kind))
            rainy_path = path.with_name(f"{path.stem}_{version + 1}_{kind}.png")
            save_png(rainy_path, rainy)
            rows.append((str(path), str(rainy_path), "val"))
    write_manifest(manifest, rows)
    return manifest


def _reduced(photo: UInt8[np.ndarray, "h w 3"], factor: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Means over squares of factor x factor pixels; what fills no square is cut off."""
    height, width = (n // factor * factor for n in photo.shape[:2])
    squares = photo[:height, :width].reshape(height // factor, factor, width // factor, factor, 3)
    return (squares.mean(axis=(1, 3)) + 0.5).astype(np.uint8)


def _shipped(name: str) -> UInt8[np.ndarray, "h w 3"]:
    import skimage

    path = Path(skimage.__file__).parent / "data" / name
    if not path.is_file():
        raise UserError(f"scikit-image ships no photo {name}; install scikit-image 0.24 or newer")
    return load_photo(path)
