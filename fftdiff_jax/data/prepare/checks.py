"""What makes a pair fit for training, found out before training begins."""

from __future__ import annotations

import dataclasses
import filecmp
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fftdiff_jax.data.images import load_photo, save_png
from fftdiff_jax.data.prepare.layouts import FoundPair
from fftdiff_jax.data.prepare.scenes import Fingerprint, fingerprint
from fftdiff_jax.errors import UserError
from fftdiff_jax.pixels import require_equal_sizes


@dataclasses.dataclass(frozen=True)
class Checked:
    """A pair that was looked at: refused for a reason, or fit and with its clean fingerprint."""

    pair: FoundPair
    reason: str = ""
    print: Fingerprint | None = None


def check_pair(pair: FoundPair, crop_size: int) -> Checked:
    """Decodes both photos whole and compares them.

    A pair is refused when a photo is missing, is no picture, is damaged or too large; when the
    upright sizes differ or are below `crop_size`; and when both photos are the same.
    """
    try:
        if filecmp.cmp(pair.clean, pair.rainy, shallow=False):
            return Checked(pair, "both files are byte for byte the same")
        clean, rainy = load_photo(pair.clean), load_photo(pair.rainy)
    except UserError as error:
        return Checked(pair, str(error))
    except OSError as error:
        return Checked(pair, f"{error.filename}: {error.strerror}")
    return _compare(pair, clean, rainy, crop_size)


def separate_halves(pair: FoundPair, folder: Path, swap: bool, crop_size: int) -> Checked:
    """Writes the halves of a picture as PNGs of their own, unless they are there, and checks them.

    The halves are folder/left/NAME.png and folder/right/NAME.png; the left one is clean, or the
    right one with `swap`. The middle column of an odd width belongs to neither.
    """
    name = Path(pair.scene).with_suffix(".png")
    left, right = folder / "left" / name, folder / "right" / name
    halves = FoundPair(*((right, left) if swap else (left, right)), pair.scene)
    try:
        picture = load_photo(pair.clean)
    except UserError as error:
        return Checked(pair, str(error))
    half = picture.shape[1] // 2
    parts = picture[:, :half], picture[:, picture.shape[1] - half :]
    clean, rainy = parts[::-1] if swap else parts
    checked = _compare(halves, clean, rainy, crop_size)
    if checked.reason:
        return Checked(pair, checked.reason)
    changed = os.stat(pair.clean).st_mtime
    for path, part in zip((left, right), parts, strict=True):
        if not path.is_file() or path.stat().st_mtime < changed:
            save_png(path, part)
    return checked


def check_pairs(
    pairs: Sequence[FoundPair], crop_size: int, *, halves_to: Path | None = None, swap: bool = False
) -> Iterator[Checked]:
    """Checks pairs in parallel, in order; with `halves_to` each is one picture, to be separated.

    Raises:
      UserError: a half cannot be written.
    """

    def one(pair: FoundPair) -> Checked:
        if halves_to is None:
            return check_pair(pair, crop_size)
        return separate_halves(pair, halves_to, swap, crop_size)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield from pool.map(one, pairs)


def _compare(
    pair: FoundPair,
    clean: UInt8[np.ndarray, "h w 3"],
    rainy: UInt8[np.ndarray, "h2 w2 3"],
    crop_size: int,
) -> Checked:
    try:
        require_equal_sizes(clean.shape, rainy.shape)
    except UserError as error:
        return Checked(pair, str(error))
    if min(clean.shape[:2]) < crop_size:
        h, w = clean.shape[:2]
        return Checked(pair, f"{w} x {h} pixels are smaller than a crop of {crop_size}")
    if np.array_equal(clean, rainy):
        return Checked(pair, "both photos show exactly the same, without rain")
    return Checked(pair, print=fingerprint(clean))
