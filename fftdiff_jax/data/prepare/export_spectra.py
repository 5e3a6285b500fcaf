"""Spectra as files, for people who want the arrays, and training from such files.

One .npz a photo and a difference, key mag_and_phase: float32 (h, w, 6), the magnitudes of R, G and
B, then their phases in radians, of the orthonormal, centred spectrum (spectra.py). A difference is
clean minus rainy, number by number, so its phases lie in (-2 pi, 2 pi). A CSV lists them.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from fftdiff_jax.data.images import load_photo
from fftdiff_jax.data.manifest import Manifest, Row, portable_path, read_manifest
from fftdiff_jax.data.sources.exported import COLUMNS, LIST_NAME, spectra_folder
from fftdiff_jax.errors import UserError
from fftdiff_jax.files import csv_text, replacing, write_text
from fftdiff_jax.pixels import require_equal_sizes


def export_spectra(
    manifest_path: str | os.PathLike[str],
    progress: Callable[[Iterable, int], Iterable] = lambda items, total: items,
) -> Path:
    """Writes the spectra of all pairs into FILE_spectra beside FILE.csv; returns their CSV.

    Spectra that are newer than their photos are kept, so an interrupted export goes on where it
    stopped. Rows without a rainy photo get the spectrum of the clean one alone. The CSV is written
    last; its paths are relative to its own folder where they can be.

    Raises:
      UserError: a photo is bad, a pair's sizes differ, or a file cannot be written.
    """
    manifest = read_manifest(manifest_path).require_files()
    folder = spectra_folder(manifest_path)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        jobs = pool.map(functools.partial(_export_row, manifest, folder), manifest.rows)
        rows = list(progress(jobs, len(manifest)))
    write_text(folder / LIST_NAME, csv_text([COLUMNS, *rows]))
    return folder / LIST_NAME


def _export_row(manifest: Manifest, folder: Path, row: Row) -> list[str]:
    clean_id = _identity(row.clean)
    clean_npz = folder / "groundtruth" / f"{clean_id}.npz"
    try:
        if row.rainy is None:
            _write_unless_new(clean_npz, [row.clean], lambda: _spectrum(row.clean))
            return [clean_id, "", "", _relative(clean_npz, folder), "", row.clean, ""]
        rainy, rainy_id = row.rainy, _identity(row.rainy)
        rainy_npz = folder / "rain" / f"{rainy_id}.npz"
        difference_npz = folder / "difference" / f"{clean_id}_{rainy_id}.npz"

        def difference() -> np.ndarray:
            one, other = _spectrum(row.clean), _spectrum(rainy)
            require_equal_sizes(one.shape, other.shape)
            return one - other

        # First the difference: it is what may fail, and then nothing else is written.
        _write_unless_new(difference_npz, [row.clean, rainy], difference)
        _write_unless_new(clean_npz, [row.clean], lambda: _spectrum(row.clean))
        _write_unless_new(rainy_npz, [rainy], lambda: _spectrum(rainy))
    except UserError as error:
        raise UserError(f"{manifest.where(row)}: {error}") from error
    files = [_relative(path, folder) for path in (difference_npz, clean_npz, rainy_npz)]
    return [clean_id, rainy_id, *files, *(portable_path(p, folder) for p in (row.clean, rainy))]


def _write_unless_new(path: Path, photos: list[str], make: Callable[[], np.ndarray]) -> None:
    if path.is_file() and path.stat().st_mtime >= max(os.stat(photo).st_mtime for photo in photos):
        return
    array = make()
    with replacing(path) as temporary:
        np.savez(temporary, mag_and_phase=array)


def _spectrum(path: str) -> Float32[np.ndarray, "h w 6"]:
    return np.asarray(_jitted_spectrum()(load_photo(path)))


@functools.lru_cache(maxsize=1)
def _jitted_spectrum() -> Callable[[np.ndarray], np.ndarray]:
    import jax  # late: worker processes read spectra without it
    import jax.numpy as jnp

    from fftdiff_jax.method import spectra

    def magnitudes_and_phases(photo):
        parts = spectra.magnitude_and_phase(spectra.to_spectrum(photo.astype(jnp.float32) / 255))
        return jnp.concatenate(parts, axis=-1)

    return jax.jit(magnitudes_and_phases)


def _identity(path: str) -> str:
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{Path(path).stem}-{digest}"


def _relative(path: Path, folder: Path) -> str:
    return portable_path(path, folder)
