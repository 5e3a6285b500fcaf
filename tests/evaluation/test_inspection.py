"""The numbers behind the figures, against what must be so."""

import dataclasses

import numpy as np
import pytest
from skimage import data

from fftdiff_jax.config import Config, DiffusionConfig
from fftdiff_jax.errors import UserError
from fftdiff_jax.evaluation import inspection
from fftdiff_jax.restore.restorer import Restorer


@pytest.fixture
def pair(rng):
    """A photo and the same with bright streaks that fall straight down."""
    clean = data.coffee()[60:160, 100:210]
    streaks = 90 * (rng.random((1, clean.shape[1], 1)) > 0.85)
    return clean, np.clip(clean + streaks, 0, 255).astype(np.uint8)


def test_noising_begins_at_the_clean_photo_and_ends_at_noise(pair):
    clean, rainy = pair
    noised = inspection.noise_pair(Config(), clean, rainy, (0.0, 0.5, 1.0))
    np.testing.assert_allclose(noised.photos[0], clean / 255, atol=1e-3)
    assert noised.states.shape == (3, *clean.shape[:2], 6)
    assert np.square(noised.states[2]).mean() == pytest.approx(1, abs=0.05)
    errors = np.square(noised.photos - clean / 255).mean(axis=(1, 2, 3))
    assert errors[0] < errors[1] < errors[2]


def test_a_path_ends_where_the_restorer_does(tiny_restorer):
    """A photo that is one tile: the last step's estimate is the restorer's draw."""
    rainy = data.coffee()[100:228, 100:228]
    path = inspection.draw_path(tiny_restorer, rainy, steps=3, seed=4)
    assert path.estimates.shape == path.noisy.shape == (3, *rainy.shape)
    assert path.times[0] == 1
    assert (np.diff(path.times) < 0).all()
    drawn = tiny_restorer.sample_float(rainy, draws=1, steps=3, seed=4)[0]
    np.testing.assert_allclose(path.estimates[-1], drawn, atol=1e-4)
    other = inspection.draw_path(tiny_restorer, rainy, steps=3, seed=5)
    for one, another in zip(path.estimates, other.estimates, strict=True):
        assert np.abs(one - another).max() > 1e-3
    # The noise decreases along the path.
    away = np.square(path.noisy - path.estimates[-1]).mean(axis=(1, 2, 3))
    assert away[0] > away[1] > away[2]
    with pytest.raises(UserError, match="at least 1"):
        inspection.draw_path(tiny_restorer, rainy, steps=0)
    alone = dataclasses.replace(tiny_restorer.config, diffusion=DiffusionConfig(draw_share=0.0))
    with pytest.raises(UserError, match="the first estimate alone"):
        inspection.draw_path(Restorer(tiny_restorer.params, alone), rainy, steps=1)


def test_streaks_that_fall_straight_down_are_waves_across(pair):
    clean, rainy = pair
    side = 64
    log_ratio, count = inspection.rain_by_frequency([(clean, rainy)] * 2, side=side)
    assert count == 2
    assert log_ratio.shape == (side, side)
    across = log_ratio[side // 2, np.abs(np.arange(side) - side // 2) > 8].mean()
    down = log_ratio[np.abs(np.arange(side) - side // 2) > 8, side // 2].mean()
    assert across > 0.5
    assert across > down + 0.5


def test_small_photos_are_left_out_of_the_rain(pair):
    clean, rainy = pair
    _, count = inspection.rain_by_frequency([(clean, rainy), (clean[:50], rainy[:50])], side=64)
    assert count == 1
    with pytest.raises(UserError, match="256 x 256"):
        inspection.rain_by_frequency([(clean, rainy)])


def test_errors_follow_parseval(pair, rng):
    """Rings weighted by their frequencies add up to the pixels' error, but for the corners."""
    clean, rainy = (photo[:64, :64] for photo in pair)
    draws = np.stack([clean / 255 + rng.normal(0, 0.1, clean.shape) for _ in range(50)])
    edges, before, after, spread = inspection.errors(clean, rainy, draws)
    assert len(edges) == len(before) + 1
    # So small a photo has no frequency in the innermost ring.
    np.testing.assert_allclose(spread[1:], 0.01, rtol=0.2)
    # A mean of 50 draws has a fiftieth of their variance.
    assert np.mean(after[1:]) == pytest.approx(0.01 / 50, rel=0.2)
    assert before[1:].mean() > after[1:].mean()

    two = inspection.errors(clean, rainy, draws[:2])[3]
    assert np.mean(two[1:]) == pytest.approx(0.01, rel=0.1)  # unbiased: one of them is half of it
