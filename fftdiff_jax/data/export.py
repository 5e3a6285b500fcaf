"""Spectra as files, for people who want the arrays, and training from such files.

One .npz a photo and a difference, key mag_and_phase: float32 (h, w, 6), the magnitudes of R, G and
B, then their phases in radians, of the orthonormal, centred spectrum (spectra.py). A difference is
clean minus rainy, number by number, so its phases lie in (-2 pi, 2 pi). A CSV lists them.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import os
import threading
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from fftdiff_jax.data.cache import PhotoCache, file_key
from fftdiff_jax.data.images import load_photo
from fftdiff_jax.data.manifest import Manifest, Row, portable_path, read_manifest
from fftdiff_jax.data.sources import PairSource
from fftdiff_jax.errors import UserError
from fftdiff_jax.files import replacing, write_text

KEY = "mag_and_phase"  # the name that np.savez is given below, too
CHANNELS = 6
COLUMNS = (
    "groundtruth_id", "rain_id", "diff_npz_filepath", "groundtruth_npz_filepath",
    "rain_npz_filepath", "groundtruth_filepath", "rain_filepath",
)  # fmt: skip
_LIST = "spectra.csv"
# NumPy evaluates array headers as Python source, which Python 3.11 cannot do in several threads at
# once (a SystemError now and then); loader threads take turns.
_HEADERS = threading.Lock()


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
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    write_text(folder / _LIST, text.getvalue())
    return folder / _LIST


def load_spectrum(path: str | os.PathLike[str]) -> Float32[np.ndarray, "h w 6"]:
    """Reads the magnitudes and phases of one exported file.

    Raises:
      UserError: the file is missing, damaged, or holds something else.
    """
    try:
        with _HEADERS, np.load(path) as arrays:
            array = arrays[KEY]
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such file") from error
    except KeyError as error:
        raise UserError(f"{path}: holds no array {KEY}") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: is damaged or no .npz file; export it again") from error
    if array.ndim != 3 or array.shape[2] != CHANNELS:
        raise UserError(f"{path}: {KEY} has the shape {array.shape}, expected (h, w, 6)")
    return array.astype(np.float32, copy=False)


class SpectraSource(PairSource):
    """The pairs of a manifest, inverted from the spectra that `export_spectra` wrote for it.

    Photos come back exactly: float32 spectra are a thousand times finer than 8 bits a pixel.
    """

    def __init__(self, manifest: Manifest, cache: PhotoCache):
        """Reads the export's CSV.

        Raises:
          UserError: there is none, or it lacks a row of the manifest.
        """
        super().__init__(manifest, cache)
        listed = _read_list(manifest)
        self._files: list[tuple[str, str]] = []
        for row in manifest.rows:
            names = listed.get((row.clean, row.rainy or ""))
            if names is None:
                raise UserError(
                    f"{manifest.where(row)}: has no exported spectra; "
                    f"run python -m experiments.prepare --output={manifest.path} --export_spectra"
                )
            self._files.append(names)

    def size(self, index: int, rainy: bool) -> tuple[int, int]:
        path = self._files[index][rainy]
        try:
            with _HEADERS, zipfile.ZipFile(path) as zipped, zipped.open(f"{KEY}.npy") as file:
                np.lib.format.read_magic(file)
                height, width, channels = np.lib.format.read_array_header_1_0(file)[0]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            channels = 0
        if channels != CHANNELS:
            height, width, _ = load_spectrum(path).shape  # or it says what is wrong
        return height, width

    def version(self, index: int, rainy: bool) -> str:
        return file_key(self._files[index][rainy])

    def decode(self, index: int, rainy: bool) -> UInt8[np.ndarray, "h w 3"]:
        return _photo(load_spectrum(self._files[index][rainy]))


def spectra_folder(manifest_path: str | os.PathLike[str]) -> Path:
    """The folder of a manifest's spectra: FILE_spectra beside FILE.csv."""
    path = Path(manifest_path).expanduser().absolute()
    return path.with_name(path.stem + "_spectra")


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
            if one.shape != other.shape:
                raise UserError(
                    f"{row.clean} is {one.shape[1]} x {one.shape[0]} and {rainy} "
                    f"{other.shape[1]} x {other.shape[0]} pixels; they must be equal"
                )
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

    from fftdiff_jax import spectra

    def magnitudes_and_phases(photo):
        parts = spectra.magnitude_and_phase(spectra.to_spectrum(photo.astype(jnp.float32) / 255))
        return jnp.concatenate(parts, axis=-1)

    return jax.jit(magnitudes_and_phases)


def _photo(array: Float32[np.ndarray, "h w 6"]) -> UInt8[np.ndarray, "h w 3"]:
    """Inverts an exported spectrum, in NumPy: it runs in worker processes, which start no JAX."""
    spectrum = array[..., :3] * np.exp(1j * array[..., 3:])
    shifted = np.fft.ifftshift(spectrum, axes=(0, 1))
    photo = np.fft.ifft2(shifted, axes=(0, 1), norm="ortho").real
    return (np.clip(photo, 0, 1) * 255 + 0.5).astype(np.uint8)


def _read_list(manifest: Manifest) -> dict[tuple[str, str], tuple[str, str]]:
    """Maps (clean, rainy) photos to their (clean, rainy) .npz files."""
    path = spectra_folder(manifest.path) / _LIST
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise UserError(
            f"{path}: there are no exported spectra; run python -m experiments.prepare "
            f"--output={manifest.path} --export_spectra"
        ) from error
    if rows and set(COLUMNS) - set(rows[0]):
        raise UserError(f"{path}: lacks a column; it needs {', '.join(COLUMNS)}")

    def located(name: str) -> str:
        return os.path.normpath(path.parent / name) if name else ""

    return {
        (located(row["groundtruth_filepath"]), located(row["rain_filepath"])): (
            located(row["groundtruth_npz_filepath"]),
            located(row["rain_npz_filepath"]),
        )
        for row in rows
    }


def _identity(path: str) -> str:
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{Path(path).stem}-{digest}"


def _relative(path: Path, folder: Path) -> str:
    return portable_path(path, folder)
