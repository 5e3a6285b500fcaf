"""Statistics of spectra, against cases whose answer is known."""

import json

import numpy as np
import pytest
from PIL import Image

from fftdiff_jax.data.manifest import read_manifest
from fftdiff_jax.data.prepare.statistics import measure_statistics, write_statistics
from fftdiff_jax.errors import UserError
from fftdiff_jax.method import rain_spectrum, spectra
from tests.data.trees import pairs_csv, save


def white(i, deviation=20):
    """A grey clean photo and a rainy one with white noise of known strength."""
    clean = np.full((64, 48, 3), 120, np.uint8)
    noise = np.random.default_rng(i).normal(0, deviation, clean.shape)
    return clean, np.clip(np.round(clean + noise), 0, 255).astype(np.uint8)


def test_white_noise_has_the_strength_it_has_at_every_frequency(tmp_path):
    manifest = read_manifest(pairs_csv(tmp_path, count=20, make=white))
    statistics = measure_statistics(manifest, rings=8)
    assert statistics["pairs"] == 20
    assert statistics["frequencies"][:2] == [0.0, 1 / 32]
    strength = np.array(statistics["difference"]["root_mean_square"])
    assert strength.shape == (3, 9)
    # An orthonormal transform keeps the deviation.
    np.testing.assert_allclose(strength[:, 1:], 20 / 255, rtol=0.06)
    np.testing.assert_allclose(statistics["rain_spectrum"][4:], 20 / 255, rtol=0.08)
    # The magnitude of complex noise has Rayleigh's distribution, whose mean log is known.
    expected = np.log(20 / 255) - np.euler_gamma / 2
    np.testing.assert_allclose(statistics["rainy_log"]["mean"][0][2:], expected, atol=0.1)
    strength = rain_spectrum.rain_strength(statistics["rain_spectrum"], 64, 48)
    assert strength[10, 10, 0] == pytest.approx(20 / 255, rel=0.08)


def test_a_darker_photo_is_a_constant_log_ratio_without_a_phase(tmp_path):
    def halved(i):
        clean = np.random.default_rng(i).integers(0, 127, (32, 32, 3)).astype(np.uint8) * 2
        return clean, clean // 2

    statistics = measure_statistics(read_manifest(pairs_csv(tmp_path, make=halved)), rings=8)
    np.testing.assert_allclose(statistics["log_ratio"]["mean"], np.log(2), atol=0.01)
    np.testing.assert_allclose(statistics["log_ratio"]["deviation"], 0, atol=0.05)
    np.testing.assert_allclose(statistics["phase_difference"]["deviation"], 0, atol=1e-3)


def test_photos_of_different_sizes_count_by_their_frequencies(tmp_path):
    def of_size(i):
        return tuple(photo[: 32 + 16 * i] for photo in white(i))

    whole = measure_statistics(read_manifest(pairs_csv(tmp_path / "a", 2, make=of_size)), rings=4)
    parts = [
        measure_statistics(
            read_manifest(pairs_csv(tmp_path / f"b{i}", 1, make=lambda _, i=i: of_size(i))), rings=4
        )
        for i in range(2)
    ]
    counts = []
    for height in (32, 48):
        frequency = spectra.radial_frequency(height, 48)[..., 0]
        counts.append(((frequency > 0) & (frequency < 0.125)).sum())
    means = [part["clean_log"]["mean"][0][1] for part in parts]
    assert whole["clean_log"]["mean"][0][1] == pytest.approx(
        np.average(means, weights=counts), abs=1e-3
    )


def test_files_and_a_manifest_without_pairs(tmp_path):
    csv = pairs_csv(tmp_path, count=2)
    statistics = measure_statistics(read_manifest(csv))
    text, picture = write_statistics(statistics, csv)
    assert json.loads(text.read_text()) == statistics
    assert Image.open(picture).size[0] > 800
    save(tmp_path / "a.png", np.zeros((9, 9, 3), np.uint8))
    csv.write_text("image_filepath,image_rain_filepath\na.png,\n")
    with pytest.raises(UserError, match="only clean photos"):
        measure_statistics(read_manifest(csv))
