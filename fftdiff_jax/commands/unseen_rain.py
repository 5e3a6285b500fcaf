"""Draws rain of a kind that no training has seen onto clean photos, to test how weights generalise.

    fftdiff-jax unseen_rain --manifest=rain800.csv --output=unseen
    fftdiff-jax evaluate --manifest=unseen/pairs.csv --output=scores

Training renders rain as blurred impulses or cut noise (fftdiff_jax/data/rain.py). Here streaks are
drawn one by one as straight strokes that taper in two steps, each with its own opacity and lean,
by Pillow: `light` has one direction, `heavy` has three and hides much of the
photo. With --kinds=none the photos stay dry, and what is lost is lost to what only looks like rain.
Nothing of the training's renderer is used, and nothing was tuned on it.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from absl import flags
from jaxtyping import UInt8

from fftdiff_jax.commands import shared
from fftdiff_jax.data.images import load_photo, save_png
from fftdiff_jax.data.manifest import write_manifest
from fftdiff_jax.pixels import centre_crop

_MANIFEST = flags.DEFINE_string("manifest", None, "whose clean photos are rained on; or 'embedded'")
_SPLIT = flags.DEFINE_string("split", "val", "rows of this split only, or 'all'")
_OUTPUT = shared.define_output("folder for the photos and pairs.csv")
_CHOICES = ("light", "heavy", "none")  # their order is a part of the seeds
_KINDS = flags.DEFINE_multi_enum(
    "kinds", ["light", "heavy"], _CHOICES, "of rain; --kinds once for each"
)
_LIMIT = flags.DEFINE_integer("limit", 0, "only the first so many photos; 0: all", lower_bound=0)
_SIDE = flags.DEFINE_integer("side", 512, "photos are cut down to so many pixels", lower_bound=32)

FINER = 3  # strokes are drawn so many times finer, and averaged
# Strokes in 10,000 pixels of the photo, their length and thickness in pixels, and directions.
KINDS = {"light": (8, (10, 40), (0.7, 1.6), 1), "heavy": (45, (15, 60), (0.8, 2.2), 3)}


def main() -> int:
    """Draws what the flags describe."""
    split = None if _SPLIT.value == "all" else _SPLIT.value
    manifest = shared.read_pairs(shared.require("manifest", _MANIFEST.value), split)
    output = Path(shared.require("output", _OUTPUT.value)).expanduser().absolute()
    photos = list(dict.fromkeys(row.clean for row in manifest.rows))[: _LIMIT.value or None]
    kinds = dict.fromkeys(_KINDS.value)
    print(f"rain of kinds {', '.join(kinds)} on {len(photos)} photos into {output}", flush=True)
    rows = []
    for number, path in enumerate(photos):
        clean = centre_crop(load_photo(path), _SIDE.value)
        clean_path = output / "clean" / f"{number:04d}.png"
        save_png(clean_path, clean)
        for kind in kinds:
            rainy_path = output / kind / f"{number:04d}.png"
            rng = np.random.default_rng((number, _CHOICES.index(kind)))
            save_png(rainy_path, draw_rain(clean, rng, kind))
            rows.append((str(clean_path), str(rainy_path), kind))
    write_manifest(output / "pairs.csv", rows)
    print(f"manifest: {output / 'pairs.csv'} ({len(rows)} pairs; its splits are the kinds)")
    return 0


def draw_rain(
    clean: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator, kind: str
) -> UInt8[np.ndarray, "h w 3"]:
    """The photo behind strokes of one of `KINDS`, or as it is for "none"."""
    if kind == "none":
        return clean
    from PIL import Image, ImageDraw

    density, lengths, widths, directions = KINDS[kind]
    height, width = clean.shape[:2]
    sheet = Image.new("L", (width * FINER, height * FINER))
    draw = ImageDraw.Draw(sheet)
    leans = rng.normal(0, 20, directions)
    for _ in range(int(density * height * width / 1e4)):
        lean = math.radians(leans[rng.integers(directions)] + rng.normal(0, 1.5))
        length = rng.uniform(*lengths) * FINER
        thickness = max(1, round(rng.uniform(*widths) * FINER))
        x, y = rng.uniform(0, width * FINER), rng.uniform(-length, height * FINER)
        strength = rng.uniform(60, 220)
        # Two strokes, one in the other: it tapers to both ends.
        for part, share in ((1.0, 0.5), (0.6, 1.0)):
            dx, dy = (0.5 * part * length * f(lean) for f in (math.sin, math.cos))
            ends = [(x - dx, y - dy), (x + dx, y + dy)]
            draw.line(ends, fill=int(share * strength), width=thickness)
    small = sheet.resize((width, height), Image.Resampling.BOX)
    covered = np.asarray(small, np.float32)[..., None] / 255
    light = rng.uniform(200, 255)
    return np.clip(clean + covered * (light - 0.5 * clean) + 0.5, 0, 255).astype(np.uint8)
