"""Scoring rules against distributions whose scores are known, and the bands they are taken of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from fftdiff_jax.config import DiffusionConfig
from fftdiff_jax.training import losses

COUNT = 400_000


def gaussian(seed, std, mean=0.0):
    return mean + std * jax.random.normal(jax.random.key(seed), (1, COUNT, 1, 1))


def crps(std, truth_std, mean=0.0):
    """The CRPS of N(mean, std^2) averaged over N(0, truth_std^2): E|a - x| - E|a - b|/2.

    Both are means of the absolute value of a Gaussian (Gneiting and Raftery 2007, eq. 21).
    """

    def size(mean, std):
        return std * np.sqrt(2 / np.pi) * np.exp(-(mean**2) / (2 * std**2)) + mean * special.erf(
            mean / (std * np.sqrt(2))
        )

    return size(mean, np.hypot(std, truth_std)) - size(0.0, np.sqrt(2) * std) / 2


@pytest.mark.parametrize(("std", "mean"), [(1.0, 0.0), (0.5, 0.0), (2.0, 0.0), (1.0, 0.7)])
def test_the_fair_score_of_two_samples_is_the_crps_of_their_distribution(std, mean):
    """Without bias, though there are two samples only."""
    one, other, truth = gaussian(0, std, mean), gaussian(1, std, mean), gaussian(2, 1.0)
    score = float(losses.fair_score(one, other, truth)[0])
    assert score == pytest.approx(crps(std, 1.0, mean), abs=5e-3)


def test_the_score_is_least_for_the_true_spread():
    scores = [
        float(losses.fair_score(gaussian(0, std), gaussian(1, std), gaussian(2, 1.0))[0])
        for std in (0.01, 0.5, 1.0, 1.5, 3.0)
    ]
    assert np.argmin(scores) == 2


def test_complex_numbers_are_scored_by_their_distance():
    one, other, truth = (jnp.asarray([[value]]) for value in (3 + 4j, 0j, 0j))
    assert float(losses.fair_score(one, other, truth)[0]) == pytest.approx(0.0, abs=1e-3)
    assert float(losses.fair_score(one, one, truth)[0]) == pytest.approx(5.0, abs=1e-3)


@pytest.mark.parametrize("size", [(32, 48), (16, 16), (21, 34), (3, 2)])
def test_the_bands_of_the_pyramid_add_up_to_the_photo(size, rng):
    photo = jnp.asarray(rng.random((2, *size, 3)), jnp.float32)
    bands = losses.pyramid(photo)
    assert len(bands) == min(len(losses.BAND_WEIGHTS), 1 + int(np.log2(min(size))))
    rebuilt = bands[-1]
    for band in bands[-2::-1]:
        coarse = jnp.repeat(jnp.repeat(rebuilt, 2, axis=1), 2, axis=2)
        rows, columns = coarse.shape[1:3]  # of odd sizes a row or column is left out
        rebuilt = band[:, :rows, :columns] + coarse
    rows, columns = rebuilt.shape[1:3]
    np.testing.assert_allclose(rebuilt, photo[:, :rows, :columns], atol=1e-6)
    # Each band but the last has no mean over its squares: it holds one octave alone.
    rows, columns = (side // 2 for side in bands[0].shape[1:3])
    squares = bands[0].reshape(2, rows, 2, columns, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(squares, 0, atol=1e-6)


def test_draws_that_miss_a_band_score_worse_than_ones_that_have_it():
    """Two copies of the mean against two samples of the truth, whose texture is random."""
    keys = jax.random.split(jax.random.key(0), 3)
    truth, one, other = (0.5 + 0.1 * jax.random.normal(key, (4, 32, 32, 3)) for key in keys)
    mean = jnp.full_like(truth, 0.5)
    config = DiffusionConfig(draw_share=1.0)
    sampled = losses.draw_loss(config, one, other, truth, None)
    flat = losses.draw_loss(config, mean, mean, truth, None)
    assert float(sampled.mean()) < 0.8 * float(flat.mean())


def test_draws_whose_tone_spreads_as_the_truth_does_score_best():
    """Photos of one tone each and the same texture, which says nothing of their tone."""
    texture = 0.1 * jax.random.normal(jax.random.key(3), (16, 16, 3))

    def photos(seed, std):
        tones = std * jax.random.normal(jax.random.key(seed), (4000, 1, 1, 3))
        return 0.5 + tones + texture

    config, truth = DiffusionConfig(draw_share=1.0), photos(2, 0.03)
    scores = {
        std: float(losses.draw_loss(config, photos(0, std), photos(1, std), truth, None).mean())
        for std in (0.0, 0.015, 0.03, 0.06, 0.15)
    }
    assert min(scores, key=scores.__getitem__) == 0.03
    # Five times too far costs more than tone is of all the other terms together.
    others = losses.PHOTO_WEIGHT + losses.BAND_WEIGHTS[-1]
    assert scores[0.15] - scores[0.03] > 1.5 * others * (crps(0.15, 0.03) - crps(0.03, 0.03))
