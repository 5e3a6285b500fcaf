"""Exported spectra: what the contract says, against NumPy's own FFT, and the way back."""

import csv as csv_module
import dataclasses
import os

import numpy as np
import pytest

from fftdiff_jax.config import DataConfig
from fftdiff_jax.data.manifest import read_manifest
from fftdiff_jax.data.pipeline import training_batches
from fftdiff_jax.data.prepare.export_spectra import export_spectra
from fftdiff_jax.data.sources.exported import load_spectrum
from fftdiff_jax.errors import UserError
from tests.data.trees import pairs_csv, photo, save, wet

COLUMNS = [
    "groundtruth_id", "rain_id", "diff_npz_filepath", "groundtruth_npz_filepath",
    "rain_npz_filepath", "groundtruth_filepath", "rain_filepath",
]  # fmt: skip


def rows_of(path):
    with open(path, newline="") as file:
        reader = csv_module.DictReader(file)
        return reader.fieldnames, list(reader)


def test_the_arrays_are_magnitudes_and_phases_of_orthonormal_centred_spectra(tmp_path):
    listed = export_spectra(pairs_csv(tmp_path, count=2, size=(21, 32)))
    columns, rows = rows_of(listed)
    assert columns == COLUMNS
    assert len(rows) == 2
    clean = photo(21, 32, seed=1)
    arrays = {}
    for name, pixels in (("groundtruth", clean), ("rain", wet(clean, seed=1))):
        with np.load(listed.parent / rows[1][f"{name}_npz_filepath"]) as file:
            assert file.files == ["mag_and_phase"]
            arrays[name] = file["mag_and_phase"]
        spectrum = np.fft.fftshift(
            np.fft.fft2(pixels / 255, axes=(0, 1), norm="ortho"), axes=(0, 1)
        )
        assert arrays[name].dtype == np.float32
        assert arrays[name].shape == (21, 32, 6)
        np.testing.assert_allclose(arrays[name][..., :3], abs(spectrum), atol=1e-4)
        turned = np.exp(1j * arrays[name][..., 3:]) * abs(spectrum)
        np.testing.assert_allclose(turned, spectrum, atol=1e-4)
    difference = load_spectrum(listed.parent / rows[1]["diff_npz_filepath"])
    np.testing.assert_array_equal(difference, arrays["groundtruth"] - arrays["rain"])
    assert os.path.normpath(listed.parent / rows[1]["rain_filepath"]).endswith("rainy/1.png")


def test_photos_come_back_exactly_and_train_as_the_files_do(tmp_path):
    csv = pairs_csv(tmp_path, count=4, size=(33, 40))
    save(tmp_path / "extreme.png", np.kron(np.eye(20), np.ones((2, 2)))[..., None]
         .repeat(3, -1).astype(np.uint8) * 255)  # fmt: skip
    with open(csv, "a") as file:
        file.write("extreme.png,\n")
    export_spectra(csv)
    manifest = read_manifest(csv)
    config = DataConfig(cache_dir=str(tmp_path / "one"), crop_size=16)
    other = dataclasses.replace(config, cache_dir=str(tmp_path / "two"), source="spectra")
    with (
        training_batches(config, manifest, batch_size=8, seed=1) as files,
        training_batches(other, manifest, batch_size=8, seed=1) as spectra,
    ):
        for _ in range(6):
            one, two = next(files), next(spectra)
            np.testing.assert_array_equal(one["clean"], two["clean"])
            np.testing.assert_array_equal(one["rainy"], two["rainy"])


def test_an_interrupted_export_goes_on_and_changed_photos_are_exported_again(tmp_path):
    csv = pairs_csv(tmp_path, count=3)
    listed = export_spectra(csv)
    files = sorted(listed.parent.rglob("*.npz"))
    assert len(files) == 9
    files[4].unlink()
    listed.unlink()
    before = {path: path.stat().st_mtime_ns for path in files if path.exists()}
    export_spectra(csv)
    assert sorted(listed.parent.rglob("*.npz")) == files
    assert {path: path.stat().st_mtime_ns for path in before} == before

    save(tmp_path / "clean/0.png", photo(40, 48, seed=50))
    later = max(before.values()) + 10**9
    os.utime(tmp_path / "clean/0.png", ns=(later, later))
    export_spectra(csv)
    changed = [path for path in before if path.stat().st_mtime_ns != before[path]]
    assert sorted({path.parent.name for path in changed}) == ["difference", "groundtruth"]


def test_pairs_of_different_sizes_are_named(tmp_path):
    csv = pairs_csv(tmp_path, count=3)
    save(tmp_path / "rainy/1.png", photo(41, 48))
    with pytest.raises(UserError, match=r"row 3: .*48 x 40 and the rainy one 48 x 41"):
        export_spectra(csv)
    assert not (tmp_path / "pairs_spectra/spectra.csv").exists()


def test_damaged_exports_are_named(tmp_path):
    csv = pairs_csv(tmp_path, count=2)
    listed = export_spectra(csv)
    _, rows = rows_of(listed)
    bad = listed.parent / rows[0]["rain_npz_filepath"]
    config = DataConfig(cache_dir=str(tmp_path / "c"), crop_size=16, source="spectra")
    for spoil, expected in [
        (lambda: bad.write_bytes(b"PK"), "is damaged or no .npz file"),
        (lambda: np.savez(bad, other=np.zeros(3)), "holds no array mag_and_phase"),
        (lambda: np.savez(bad, mag_and_phase=np.zeros((4, 4, 3))), r"expected \(h, w, 6\)"),
        (bad.unlink, "there is no such file"),
    ]:
        spoil()
        with pytest.raises(UserError, match=expected) as caught:
            training_batches(config, read_manifest(csv), batch_size=4, seed=0)
        assert "row 2" in str(caught.value)
    with open(csv, "a") as file:
        file.write("clean/0.png,\n")
    with pytest.raises(UserError, match=r"row 4: has no exported spectra; .*--export_spectra"):
        training_batches(config, read_manifest(csv), batch_size=4, seed=0)
