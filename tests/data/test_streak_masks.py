"""Photographed streaks as rain: from a folder, in range, and without a seam."""

import numpy as np
import pytest
from PIL import Image

from fftdiff_jax.data import rain, streak_masks
from fftdiff_jax.data.rain_styles import PHOTOGRAPHED, sample_style
from fftdiff_jax.errors import UserError
from tests.data.trees import photo


@pytest.fixture
def masks(tmp_path):
    """Three masks of a few upright streaks, bright on black."""
    folder = tmp_path / "masks"
    folder.mkdir()
    for number in range(3):
        mask = np.zeros((120, 90), np.uint8)
        mask[20:100, 10 + 20 * number :: 30] = 220
        Image.fromarray(mask).save(folder / f"{number}.png")
    return str(folder)


def test_streaks_cover_a_part_of_the_photo_and_repeat_with_the_seed(masks):
    one, again, other = (
        streak_masks.through_streaks(np.random.default_rng(seed), 128, (0.9, 0.5), masks)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0.1
    assert 0 < one.min() < 0.7
    assert one.max() == 1
    assert 0.02 < (one < 0.95).mean() < 0.5


def test_a_tile_has_no_seam(masks):
    """From one border to the other it changes no more than inside."""
    for seed in range(8):
        field = streak_masks.through_streaks(np.random.default_rng(seed), 128, (1.0,), masks)
        across = np.abs(field[:, 0] - field[:, -1]).max()
        inside = np.abs(np.diff(field, axis=1)).max()
        assert across <= inside + 1e-6


@pytest.mark.parametrize("make", [lambda folder: folder / "none", lambda folder: folder])
def test_a_folder_without_masks_is_one_line(make, tmp_path):
    with pytest.raises(UserError, match=r"data\.streaks_dir"):
        streak_masks.mask_paths(str(make(tmp_path)))


def test_the_bank_renders_as_much_of_it_as_is_asked_for(masks):
    clean = photo(64, 64)
    for streaks, least, most in ((0.0, 0, 0), (0.5, 8, 32), (1.0, 40, 40)):
        bank = rain.RainBank(3, streaks_dir=masks, streaks=streaks)
        kinds = [rain._tile(bank, number, 256).style.kind for number in range(40)]
        assert least <= kinds.count(PHOTOGRAPHED) <= most
    rainy = bank.render(clean, np.random.default_rng(1), 5)
    assert rainy.shape == clean.shape
    assert np.abs(rainy.astype(int) - clean).max() > 20


def test_toned_rain_changes_the_photo_behind_it():
    styles = [sample_style(np.random.default_rng(i), "single", toned=0.5) for i in range(200)]
    toned = [style for style in styles if style.saturation != 1.0]
    assert 70 <= len(toned) <= 130
    assert all(0.6 <= style.saturation <= 1.05 for style in toned)
    assert {style.contrast for style in styles if style not in toned} == {1.0}
