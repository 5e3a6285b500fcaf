"""One interface to the pairs of a manifest, wherever their photos come from."""

from __future__ import annotations

import abc

import numpy as np
from jaxtyping import UInt8

from fftdiff_jax.data.cache import PhotoCache
from fftdiff_jax.data.fingerprint import stamp_of_files
from fftdiff_jax.data.manifest import Manifest
from fftdiff_jax.errors import UserError
from fftdiff_jax.pixels import require_equal_sizes


class PairSource(abc.ABC):
    """The pairs of a manifest, decoded from somewhere and cached.

    Subclasses find and decode the photos; `rainy` is False for the clean photo of pair
    `index` and True for the rainy one. Sources can be pickled, for worker processes.
    """

    def __init__(self, manifest: Manifest, cache: PhotoCache):
        """Takes the rows in the manifest's order; nothing is read yet."""
        self.manifest = manifest
        self.cache = cache
        self._keys: dict[tuple[int, bool], str] = {}

    def __len__(self) -> int:
        return len(self.manifest)

    def where(self, index: int) -> str:
        """The manifest's file and the row of pair `index`, for messages."""
        return self.manifest.where(self.manifest.rows[index])

    def has_rainy(self, index: int) -> bool:
        """Whether the pair has a rainy photo, or rain is to be rendered on the clean one."""
        return self.manifest.rows[index].rainy is not None

    @abc.abstractmethod
    def size(self, index: int, rainy: bool) -> tuple[int, int]:
        """Height and width of a photo without decoding it; raises UserError where it is bad."""

    @abc.abstractmethod
    def version(self, index: int, rainy: bool) -> str:
        """Names a photo as it is now, so that one that changes is decoded again."""

    @abc.abstractmethod
    def decode(self, index: int, rainy: bool) -> UInt8[np.ndarray, "h w 3"]:
        """Decodes a photo; raises UserError where it is bad."""

    def stamp(self, index: int, by: str) -> str:
        """What changes with a pair's photos, and not with the place where they lie.

        Args:
          index: of the pair.
          by: "times" or "contents"; see fingerprint.py.

        Raises:
          UserError: a photo cannot be read.
        """
        row = self.manifest.rows[index]
        return stamp_of_files([path for path in (row.clean, row.rainy) if path], by)

    def key(self, index: int, rainy: bool) -> str:
        """Names the photo as it was when it was first asked for."""
        # A look at the file for every crop would cost more than the crop on a cluster's disks.
        if (index, rainy) not in self._keys:
            self._keys[index, rainy] = self.version(index, rainy)
        return self._keys[index, rainy]

    def photo(self, index: int, rainy: bool) -> UInt8[np.ndarray, "h w 3"]:
        """Returns a photo, read-only, from the cache where it can.

        Raises:
          UserError: it cannot be read; the message begins with the row.
        """
        try:
            key = self.key(index, rainy)
            return self.cache.photo(key, lambda: self.decode(index, rainy))
        except UserError as error:
            raise UserError(f"{self.where(index)}: {error}") from error

    def pair_size(self, index: int, crop_size: int) -> tuple[int, int]:
        """Returns the pair's (height, width) from the files' heads.

        Raises:
          UserError: a photo is bad, the sizes differ, or the pair is smaller than a crop.
        """
        try:
            height, width = other = self.size(index, False)
            if self.has_rainy(index):
                other = self.size(index, True)
            if other == (width, height) and height != width:  # turned, but not by the head alone?
                height, width = self.decode(index, False).shape[:2]
                other = self.decode(index, True).shape[:2]
            require_equal_sizes((height, width), other)
            if min(height, width) < crop_size:
                raise UserError(
                    f"the photo of {width} x {height} pixels is smaller than a crop of "
                    f"{crop_size}; lower data.crop_size or leave the pair out"
                )
        except UserError as error:
            raise UserError(f"{self.where(index)}: {error}") from error
        return height, width
