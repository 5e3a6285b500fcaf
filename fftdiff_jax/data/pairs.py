"""Pairs of photos: whole ones for evaluation, and what makes two photos a pair."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8

from fftdiff_jax.data.images import load_photo
from fftdiff_jax.data.manifest import Manifest, Row
from fftdiff_jax.errors import UserError
from fftdiff_jax.pixels import require_equal_sizes


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
    return Pair(where, row.number, row.clean, row.rainy, clean, rainy)
