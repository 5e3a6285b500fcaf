"""Pairs of photos: whole ones for evaluation, and what makes two photos a pair."""

from __future__ import annotations

import dataclasses
import filecmp
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import UInt8

from fftdiff_jax.data.images import load_photo, photo_size
from fftdiff_jax.data.manifest import Manifest, Row
from fftdiff_jax.errors import UserError
from fftdiff_jax.metrics.psnr_ssim import WINDOW_SIZE
from fftdiff_jax.pixels import require_equal_sizes

_READERS = 16  # threads that look at files: it is waiting for disks for the most part
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Pair:
    """A whole pair for evaluation.

    Attributes:
      where: "FILE, row N", the beginning of messages about it.
      row: its row in the manifest, the header being row 1.
      clean_path, rainy_path: of the files.
      clean, rainy: the photos, of one size.
    """

    where: str
    row: int
    clean_path: str
    rainy_path: str
    clean: UInt8[np.ndarray, "h w 3"]
    rainy: UInt8[np.ndarray, "h w 3"]


def evaluation_pairs(manifest: Manifest, limit: int | None = None) -> Iterator[Pair]:
    """Yields whole pairs in the manifest's order, at most `limit` of them.

    Raises:
      UserError: a photo cannot be read, a row has no rainy photo, or the sizes of a pair differ.
    """
    for row in manifest.rows[:limit]:
        yield load_pair(manifest, row)


def require_scorable(manifest: Manifest) -> None:
    """Finds before any work what would end the scoring of these pairs hours later.

    Reads the heads of the files alone.

    Raises:
      UserError: names the first row whose photos are missing, no photos, of unequal sizes or
        smaller than SSIM's window; or that has no rainy photo.
    """
    if not manifest.rows:
        raise UserError(f"{manifest.path}: no pairs to evaluate")
    manifest.require_files()
    with ThreadPoolExecutor(_READERS) as pool:
        for row, wrong in zip(manifest, pool.map(_unscorable, manifest), strict=True):
            if wrong:
                raise UserError(f"{manifest.where(row)}: {wrong}")


def _unscorable(row: Row) -> str | None:
    if row.rainy is None:
        return "has no rainy photo to restore; choose a --split of whole pairs"
    try:
        rainy, clean = photo_size(row.rainy), photo_size(row.clean)
        require_equal_sizes(clean, rainy, (row.clean, row.rainy))
    except UserError as error:
        return str(error)
    if min(rainy) >= WINDOW_SIZE:
        return None
    return (
        f"{row.rainy} is {rainy[1]} x {rainy[0]} pixels; SSIM needs at least {WINDOW_SIZE} a side, "
        "remove the row"
    )


def warn_of_equal_pairs(manifest: Manifest) -> None:
    """Says in one line which pairs have one file, or two files of the same bytes, as both photos.

    They teach that nothing is rain, and score as if all of it was removed.
    """
    with ThreadPoolExecutor(_READERS) as pool:
        found = [
            (row, what)
            for row, what in zip(manifest, pool.map(_equal, manifest), strict=True)
            if what
        ]
    if found:
        row, what = found[0]
        more = f"; so are {len(found) - 1} more pairs" if len(found) > 1 else ""
        _log.warning("%s: both photos are %s, %s%s", manifest.where(row), what, row.rainy, more)


def _equal(row: Row) -> str | None:
    if row.rainy is None:
        return None
    try:
        if os.path.samefile(row.clean, row.rainy):
            return "one file"
        sizes = os.path.getsize(row.clean), os.path.getsize(row.rainy)
        if sizes[0] == sizes[1] and filecmp.cmp(row.clean, row.rainy, shallow=False):
            return "equal to the last byte"
    except OSError:
        pass  # who reads the photo says what is wrong with it
    return None


def load_pair(manifest: Manifest, row: Row) -> Pair:
    """Reads the whole pair of one row.

    Raises:
      UserError: a photo cannot be read, there is no rainy photo, or the sizes differ.
    """
    where = manifest.where(row)
    if row.rainy is None:
        raise UserError(f"{where}: has no rainy photo; evaluation needs pairs")
    try:
        clean, rainy = load_photo(row.clean), load_photo(row.rainy)
        require_equal_sizes(clean.shape, rainy.shape, (row.clean, row.rainy))
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    if np.array_equal(clean, rainy) and _equal(row) is None:  # which is told beforehand
        _log.warning("%s: both photos show exactly the same", where)
    return Pair(where, row.number, row.clean, row.rainy, clean, rainy)
