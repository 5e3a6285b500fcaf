"""Where pairs come from: one interface to files, ArrayRecord shards and exported spectra.

All sources give the same decoded photos for the same manifest, so the pipeline gives the same
batches whichever is chosen.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fftdiff_jax.config import DataConfig
from fftdiff_jax.data.cache import PhotoCache, file_key
from fftdiff_jax.data.embedded import embedded_manifest
from fftdiff_jax.data.images import load_photo, photo_size
from fftdiff_jax.data.manifest import Manifest, read_manifest
from fftdiff_jax.data.sources.base import PairSource
from fftdiff_jax.errors import UserError


class ManifestSource(PairSource):
    """The pairs of a manifest, read from their files."""

    def size(self, index: int, rainy: bool) -> tuple[int, int]:
        return photo_size(self._path(index, rainy))

    def version(self, index: int, rainy: bool) -> str:
        return file_key(self._path(index, rainy))

    def decode(self, index: int, rainy: bool) -> UInt8[np.ndarray, "h w 3"]:
        return load_photo(self._path(index, rainy))

    def _path(self, index: int, rainy: bool) -> str:
        row = self.manifest.rows[index]
        path = row.rainy if rainy else row.clean
        if path is None:
            raise UserError("has no rainy photo; its rain is to be rendered")
        return path


def cache_folder(config: DataConfig) -> Path:
    """Where decoded and embedded photos are kept: `config.cache_dir`, or the user's own folder."""
    if config.cache_dir:
        return Path(config.cache_dir).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "fftdiff_jax"


def open_manifest(config: DataConfig, split: str | None = None) -> Manifest:
    """Reads the manifest that `config.manifest` names, or that of the embedded photos.

    Raises:
      UserError: as `read_manifest`.
    """
    if not config.manifest:
        raise UserError("data.manifest is empty; name a CSV of pairs, or 'embedded'")
    path = config.manifest
    if path == "embedded":
        path = str(embedded_manifest(cache_folder(config)))
    return read_manifest(path, split)


def open_source(config: DataConfig, manifest: Manifest) -> PairSource:
    """Opens the pairs of `manifest` where `config.source` says.

    Raises:
      UserError: the source was not prepared for this manifest.
    """
    cache = PhotoCache(cache_folder(config) / "photos", config.cache_gigabytes)
    if config.source == "tfds":
        from fftdiff_jax.data.sources.shards import TfdsSource

        return TfdsSource(manifest, cache, config.shards_dir)
    if config.source == "spectra":
        from fftdiff_jax.data.sources.exported import SpectraSource

        return SpectraSource(manifest, cache)
    return ManifestSource(manifest, cache)


def pair_sizes(
    source: PairSource, crop_size: int, on_bad_pair: str
) -> tuple[dict[int, tuple[int, int]], list[str]]:
    """Reads the size of every pair, in parallel; returns sizes by index, and what is bad.

    Raises:
      UserError: the first bad pair, where `on_bad_pair` is "stop"; or all pairs are bad.
    """

    def checked(index: int) -> tuple[int, int] | str:
        try:
            return source.pair_size(index, crop_size)
        except UserError as error:
            if on_bad_pair == "stop":
                raise
            return str(error)

    with ThreadPoolExecutor(min(16, 4 * (os.cpu_count() or 1))) as pool:
        results = list(pool.map(checked, range(len(source))))
    sizes = {index: result for index, result in enumerate(results) if isinstance(result, tuple)}
    bad = [result for result in results if isinstance(result, str)]
    if not sizes:
        raise UserError(f"no pair can be used; the first: {bad[0]}")
    return sizes, bad


def plan_cache(source: PairSource, sizes: dict[int, tuple[int, int]]) -> None:
    """Tells the cache which photos will be asked for, so that it chooses those that it keeps."""
    photos: dict[str, tuple[int, int]] = {}
    for index, size in sizes.items():
        for rainy in (False, True)[: 1 + source.has_rainy(index)]:
            photos.setdefault(source.key(index, rainy), size)
    source.cache.plan(list(photos), list(photos.values()))
