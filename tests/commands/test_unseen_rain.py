"""Rain drawn to test generalisation: what it changes, and that evaluation can read it."""

import numpy as np
import pytest
from skimage import data

from fftdiff_jax.commands import unseen_rain
from fftdiff_jax.data.manifest import read_manifest
from fftdiff_jax.data.pairs import load_pair
from fftdiff_jax.metrics.scores import score_photos
from tests import tiny
from tests.commands import run


@pytest.mark.parametrize("kind", unseen_rain.KINDS)
def test_strokes_lighten_a_part_of_the_photo(kind):
    clean = data.astronaut()[:200, 100:300]
    rainy = unseen_rain.draw_rain(clean, np.random.default_rng(0), kind)
    change = rainy.astype(int) - clean
    assert (change == 0).all(axis=-1).mean() > 0.05  # some of it stays as it was
    assert change.mean() > 1
    assert (change < -8).mean() < 0.05  # light streaks, on all but the brightest ground
    again = unseen_rain.draw_rain(clean, np.random.default_rng(0), kind)
    np.testing.assert_array_equal(again, rainy)


def test_heavy_rain_is_worse_than_light_rain():
    clean = data.coffee()[:200, 100:300]
    light, heavy = (
        score_photos(unseen_rain.draw_rain(clean, np.random.default_rng(1), kind), clean)["psnr_y"]
        for kind in ("light", "heavy")
    )
    assert 18 < light < 35
    assert heavy < light - 4


def test_the_command_writes_pairs_that_can_be_evaluated(tmp_path):
    pairs = tiny.write_pairs(tmp_path)
    done = run(
        tmp_path,
        *("unseen_rain", f"--manifest={pairs}", f"--output={tmp_path / 'unseen'}"),
        *("--split=all", "--side=48", "--limit=2"),
    )
    assert done.returncode == 0, done.stderr
    manifest = read_manifest(tmp_path / "unseen" / "pairs.csv")
    assert [row.split for row in manifest.rows] == ["light", "heavy"] * 2
    for row in manifest.rows:
        pair = load_pair(manifest, row)
        assert max(pair.clean.shape[:2]) <= 48
        assert (pair.clean != pair.rainy).any()


def test_photos_without_rain_are_a_kind_too(tmp_path):
    pairs = tiny.write_pairs(tmp_path)
    done = run(
        tmp_path,
        *("unseen_rain", f"--manifest={pairs}", f"--output={tmp_path / 'dry'}"),
        *("--split=all", "--kinds=none", "--limit=2"),
    )
    assert done.returncode == 0, done.stderr
    manifest = read_manifest(tmp_path / "dry" / "pairs.csv")
    assert [row.split for row in manifest.rows] == ["none"] * 2
    for row in manifest.rows:
        pair = load_pair(manifest, row)
        np.testing.assert_array_equal(pair.clean, pair.rainy)
