"""Pairs from spectra that were exported to files: their names, and the photos they invert to."""

from __future__ import annotations

import os
import threading
import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from fftdiff_jax.data.cache import PhotoCache, file_key
from fftdiff_jax.data.fingerprint import stamp_of_files
from fftdiff_jax.data.manifest import Manifest
from fftdiff_jax.data.sources.base import PairSource
from fftdiff_jax.errors import UserError
from fftdiff_jax.files import read_csv
from fftdiff_jax.pixels import to_uint8

KEY = "mag_and_phase"  # export_spectra gives np.savez this name
CHANNELS = 6
COLUMNS = (
    "groundtruth_id", "rain_id", "diff_npz_filepath", "groundtruth_npz_filepath",
    "rain_npz_filepath", "groundtruth_filepath", "rain_filepath",
)  # fmt: skip
LIST_NAME = "spectra.csv"

# NumPy evaluates array headers as Python source, which Python 3.11 cannot do in several threads at
# once (a SystemError now and then); loader threads take turns.
_HEADERS = threading.Lock()


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
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise UserError(f"{path}: {KEY} holds what is no finite number; export it again")
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
                    f"run fftdiff-jax prepare --output={manifest.path} --export_spectra"
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
            height, width, _ = load_spectrum(path).shape  # or it raises what is wrong
        return height, width

    def version(self, index: int, rainy: bool) -> str:
        return file_key(self._files[index][rainy])

    def stamp(self, index: int, by: str) -> str:
        return stamp_of_files([path for path in self._files[index] if path], by)

    def decode(self, index: int, rainy: bool) -> UInt8[np.ndarray, "h w 3"]:
        return _photo(load_spectrum(self._files[index][rainy]))


def spectra_folder(manifest_path: str | os.PathLike[str]) -> Path:
    """The folder of a manifest's spectra: FILE_spectra beside FILE.csv."""
    path = Path(manifest_path).expanduser().absolute()
    return path.with_name(path.stem + "_spectra")


def _photo(array: Float32[np.ndarray, "h w 6"]) -> UInt8[np.ndarray, "h w 3"]:
    """Inverts an exported spectrum, in NumPy: it runs in worker processes, which start no JAX."""
    spectrum = array[..., :3] * np.exp(1j * array[..., 3:])
    shifted = np.fft.ifftshift(spectrum, axes=(0, 1))
    photo = np.fft.ifft2(shifted, axes=(0, 1), norm="ortho").real
    return to_uint8(photo)


def _read_list(manifest: Manifest) -> dict[tuple[str, str], tuple[str, str]]:
    """Maps (clean, rainy) photos to their (clean, rainy) .npz files."""
    path = spectra_folder(manifest.path) / LIST_NAME
    try:
        (_, header), *lines = read_csv(path) or [(1, [])]
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: there are no exported spectra; run fftdiff-jax prepare "
            f"--output={manifest.path} --export_spectra"
        ) from error
    if set(COLUMNS) - set(header):
        raise UserError(f"{path}: lacks a column; it needs {', '.join(COLUMNS)}")

    rows = []
    for number, fields in lines:
        if len(fields) != len(header):
            raise UserError(f"{path}, row {number}: has other columns than the header")
        rows.append(dict(zip(header, fields, strict=True)))

    def located(name: str) -> str:
        return os.path.normpath(path.parent / name) if name else ""

    return {
        (located(row["groundtruth_filepath"]), located(row["rain_filepath"])): (
            located(row["groundtruth_npz_filepath"]),
            located(row["rain_npz_filepath"]),
        )
        for row in rows
    }
