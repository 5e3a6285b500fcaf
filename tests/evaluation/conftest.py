"""What the tests of evaluation share."""

from pathlib import Path

import numpy as np
import pytest
from skimage import data as photos

from fftdiff_jax.data.images import save_png
from fftdiff_jax.data.manifest import Manifest, read_manifest, write_manifest


@pytest.fixture
def manifest(tmp_path: Path, rng: np.random.Generator) -> Manifest:
    """Five pairs of several sizes, one of them too small for LPIPS."""
    cat = photos.chelsea()
    rows = []
    for i, (height, width) in enumerate([(40, 51), (64, 33), (48, 48), (21, 50), (37, 64)]):
        clean = cat[60 + 9 * i : 60 + 9 * i + height, 100 : 100 + width]
        streaks = 60 * (rng.random((1, width, 1)) > 0.8)
        names = [tmp_path / "pairs" / f"{kind}, {i}.png" for kind in ("clean", "rainy")]
        save_png(names[0], clean)
        save_png(names[1], np.clip(clean + streaks, 0, 255).astype(np.uint8))
        rows.append((str(names[0]), str(names[1]), "val"))
    write_manifest(tmp_path / "pairs.csv", rows)
    return read_manifest(tmp_path / "pairs.csv")
