"""Spread against error, and scores that equal those of the metrics alone."""

import dataclasses

import numpy as np
import pytest
from skimage import data

from experiments import gaussian_draws
from fftdiff_jax.evaluation import screening
from fftdiff_jax.method import noises
from fftdiff_jax.metrics import realism
from fftdiff_jax.metrics.power import spectral_power
from fftdiff_jax.metrics.scores import score_photos


@pytest.mark.parametrize("count", [2, 3, 6])
def test_a_calibrated_model_has_the_ratio_1_in_every_band(count, rng):
    """Truth and draws come from one Gaussian about an unknown mean."""
    mean = rng.random((4, 64, 64, 3))
    truth = mean + 0.05 * rng.standard_normal(mean.shape)
    draws = mean + 0.05 * rng.standard_normal((count, *mean.shape))
    found = screening.spread_against_error(draws, truth)
    assert found["spread_over_error"] == pytest.approx(1, abs=0.03)
    lowest, *bands = found["spread_over_error_by_band"]
    assert lowest == pytest.approx(1, abs=0.3)  # of few coefficients
    np.testing.assert_allclose(bands, 1, atol=0.1)
    assert len(found["spread_over_error_by_band"]) == screening.BANDS


def test_half_the_spread_has_the_ratio_one_half(rng):
    mean = np.zeros((4, 64, 64, 3))
    truth = 0.1 * rng.standard_normal(mean.shape)
    draws = 0.05 * rng.standard_normal((200, *mean.shape))
    found = screening.spread_against_error(draws, truth)
    assert found["spread_over_error"] == pytest.approx(0.5, abs=0.02)


def test_spread_where_the_error_is_correlates_with_it(rng):
    where = np.zeros((1, 64, 64, 1))
    where[:, :, 32:] = 1
    truth = where * rng.standard_normal((1, 64, 64, 3))
    draws = where * rng.standard_normal((8, 1, 64, 64, 3))
    assert screening.spread_against_error(draws, truth)["spread_error_correlation"] > 0.5
    misplaced = np.roll(draws, 32, axis=3)
    assert screening.spread_against_error(misplaced, truth)["spread_error_correlation"] < -0.3


def test_no_two_draws_or_crops_share_noise():
    """A sampler that returns its noise shows who has which."""

    def noise(params, rainy, places, key):
        return noises.placed_noise(key, places, rainy.shape[1:3])

    crops = np.zeros((5, 16, 16, 3), np.uint8)
    draws = np.stack([screening._draw(noise, None, crops, number) for number in range(4)])
    assert np.abs(np.corrcoef(draws.reshape(20, -1)) - np.eye(20)).max() < 0.2


@pytest.fixture(scope="module")
def crops():
    photo = data.coffee()[:200, :240]
    truth = np.clip(photo.astype(int) - 10, 0, 255).astype(np.uint8)
    return screening.Crops(truth[None, 36:164, 56:184], photo[None, 36:164, 56:184], (photo,))


def test_crops_and_whole_photos_score_alike(tiny_restorer, crops):
    """What a convolution says of a place does not depend on how much of the photo it is shown."""
    way = tiny_restorer.config.sampling
    found = screening.screen(tiny_restorer.params, tiny_restorer.config, crops, way)
    assert found["whole_psnr_y"] == pytest.approx(found["psnr_y"], abs=0.1)
    assert set(realism.DISTANCES) <= set(found)
    assert not any(name.startswith(("draw_", "spread_")) for name in found)


def test_the_first_draw_is_scored_beside_the_mean_of_all(tiny_restorer, crops):
    way = dataclasses.replace(tiny_restorer.config.sampling, draws=2)
    found = screening.screen(tiny_restorer.params, tiny_restorer.config, crops, way)
    assert "whole_psnr_y" not in found
    draws = [
        screening.screen(
            tiny_restorer.params, tiny_restorer.config, crops, dataclasses.replace(way, **one)
        )
        for one in ({"draws": 1}, {"draws": 0})
    ]
    assert found["draw_psnr_y"] == pytest.approx(draws[0]["psnr_y"])
    assert found["draw_frechet_2"] == pytest.approx(draws[0]["frechet_2"])
    assert len({found["psnr_y"], draws[0]["psnr_y"], draws[1]["psnr_y"]}) == 3
    assert found["spread_over_error"] > 0


def test_batches_hold_every_crop_in_order():
    for count in (1, 3, 4, 9):
        indices = np.concatenate(list(screening._batches(count)))
        np.testing.assert_array_equal(indices[:count], np.arange(count))
        assert len(indices) % screening.AT_ONCE == 0


def test_scores_are_those_of_the_metrics(rng):
    clean = data.astronaut()[None, :64, :64]
    noisy = np.clip(clean + 10 * rng.standard_normal(clean.shape), 0, 255).astype(np.uint8)
    found = screening.score_crops(noisy.astype(np.float32) / 255, clean)
    for name, value in score_photos(noisy[0], clean[0]).items():
        assert found[name] == pytest.approx(value)
    assert 0 < found["lpips_vgg"] < 2


def test_gaussian_draws_have_the_errors_spectrum_and_colours(rng):
    """Errors of one covariance of R, G and B, strong at low frequencies and weak at high ones."""
    white = rng.standard_normal((6, gaussian_draws.SIDE, gaussian_draws.SIDE, 3))
    mixed = white @ np.array([[0.05, 0.03, 0.01], [0, 0.04, 0.02], [0, 0, 0.01]])
    errors = (mixed + np.roll(mixed, 1, axis=1) + np.roll(mixed, 1, axis=2)) / 3
    roots = gaussian_draws.error_roots(errors.astype(np.float32))
    best = np.full(errors.shape, 0.5, np.float32)
    drawn = gaussian_draws.draw(best, roots, rng) - best
    ring = gaussian_draws.ring_of()
    power = [spectral_power(x).mean(axis=0) for x in (errors, drawn)]
    by_ring = [np.bincount(ring.ravel(), p.ravel())[1:] for p in power]  # the lowest is of few
    np.testing.assert_allclose(by_ring[1], by_ring[0], rtol=0.15)
    colours = [np.cov(x.reshape(-1, 3).T) for x in (errors, drawn)]
    np.testing.assert_allclose(colours[1], colours[0], rtol=0.05, atol=1e-6)
