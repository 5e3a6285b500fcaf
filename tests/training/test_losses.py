"""The losses against answers that are known: Gaussians, constants, and photos that are right."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from fftdiff_jax.config import DiffusionConfig
from fftdiff_jax.metrics import lpips
from fftdiff_jax.training import losses

COUNT = 400_000


def expected_score(mean, std):
    """Of Gaussian samples where the truth is standard normal: E|a - x| - E|a - b|/2."""
    away = np.sqrt(1 + std**2)
    apart = away * np.sqrt(2 / np.pi) * np.exp(-((mean / away) ** 2) / 2)
    apart += mean * special.erf(mean / away / np.sqrt(2))
    return apart - std / np.sqrt(np.pi)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.0, 0.0), (0.0, 2.0), (0.7, 1.0)])
def test_two_samples_give_the_score_of_their_distribution(mean, std, rng):
    """On average, as an infinite ensemble would: the score of two is unbiased."""
    one, other, truth = rng.standard_normal((3, 1, COUNT)).astype(np.float32)
    found = losses.fair_score(mean + std * one, mean + std * other, truth)
    assert found.shape == (1,)
    assert float(found[0]) == pytest.approx(expected_score(mean, std), abs=0.005)


def test_the_score_is_least_where_samples_and_truth_have_one_distribution():
    best = expected_score(0.0, 1.0)
    for mean, std in ((0.0, 0.8), (0.0, 1.25), (0.2, 1.0), (-0.2, 1.0), (0.0, 0.0)):
        assert expected_score(mean, std) > best + 0.005
    # Its slope there is 0, in the mean and in the deviation.
    for mean, std in ((0.01, 0.0), (0.0, 0.01)):
        rise = expected_score(mean, 1 + std) - best
        assert 0 < rise < 1e-4


def test_complex_numbers_are_scored_by_their_distance(rng):
    """Of a circular Gaussian of variance 1, whose modulus is Rayleigh's."""
    parts = rng.standard_normal((3, 2, 1, COUNT)).astype(np.float32) / np.sqrt(2)
    found = losses.fair_score(*(jax.lax.complex(*map(jnp.asarray, part)) for part in parts))
    assert float(found[0]) == pytest.approx(np.sqrt(2 * np.pi) / 4, abs=0.005)


def test_samples_that_are_equal_and_right_have_a_gradient():
    photo = jnp.full((1, 16, 16, 3), 0.5)
    found = jax.grad(lambda x: losses.draw_loss(DiffusionConfig(), x, x, photo, None).sum())(photo)
    assert bool(jnp.isfinite(found).all())


@functools.cache
def draw_loss():
    return jax.jit(lambda *photos: losses.draw_loss(DiffusionConfig(), *photos, None))


def mean_loss(rng, shape, std, veil, shift=0.0):
    """The mean loss of samples of these deviations, where the truth's are 1 and 1.

    A photo is grain at every pixel and a veil over all of it.
    """

    def sample(std, veil):
        grain = std * rng.standard_normal(shape)
        return (0.1 * (grain + veil * rng.standard_normal((shape[0], 1, 1, 1)))).astype(np.float32)

    one, other = (sample(std, veil) + np.float32(shift) for _ in range(2))
    return float(draw_loss()(one, other, sample(1.0, 1.0)).mean())


@pytest.mark.parametrize(
    "wrong",
    [
        {"std": 0.5, "veil": 1.0},
        {"std": 2.0, "veil": 1.0},
        {"std": 1.0, "veil": 0.0},
        {"std": 1.0, "veil": 2.0},
        {"std": 1.0, "veil": 1.0, "shift": 0.1},
    ],
)
def test_the_draws_loss_is_least_for_the_truths_own_distribution(wrong, rng):
    """In the grain of pixels, in the veil over the whole photo, and in the mean."""
    shape = (1000, 16, 16, 3)
    right = mean_loss(rng, shape, 1.0, 1.0)
    assert mean_loss(rng, shape, **wrong) > 1.02 * right


@pytest.mark.parametrize("size", [(16, 16), (32, 48), (8, 24), (2, 2)])
def test_a_pyramid_holds_the_whole_photo_an_octave_a_band(size, rng):
    photo = rng.random((2, *size, 3)).astype(np.float32)
    *bands, rest = (np.asarray(band) for band in losses.pyramid(jnp.asarray(photo)))
    assert len(bands) <= len(losses.BAND_WEIGHTS) - 1
    whole = rest
    for band in reversed(bands):
        whole = (
            band + whole.repeat(2, axis=1).repeat(2, axis=2)[:, : band.shape[1], : band.shape[2]]
        )
        # Nothing of a band is coarser than its own octave.
        rows, columns = band.shape[1] // 2, band.shape[2] // 2
        coarser = band.reshape(2, rows, 2, columns, 2, 3).mean(axis=(2, 4))
        np.testing.assert_allclose(coarser, 0, atol=1e-6)
    np.testing.assert_allclose(whole, photo, atol=1e-6)
    shrunk = 2 ** len(bands)
    blocks = photo.reshape(2, size[0] // shrunk, shrunk, size[1] // shrunk, shrunk, 3)
    np.testing.assert_allclose(rest, blocks.mean(axis=(2, 4)), atol=1e-6)


def test_an_odd_row_has_no_octave_to_be_in(rng):
    photo = jnp.asarray(rng.random((1, 5, 1, 3)), jnp.float32)
    (whole,) = losses.pyramid(photo)
    np.testing.assert_array_equal(whole, photo)
    assert [band.shape[1] for band in losses.pyramid(jnp.ones((1, 7, 6, 3)))] == [6, 2, 1][:3]


def test_both_samples_count_alike_and_the_truth_costs_nothing(rng):
    one, other, clean = rng.random((3, 2, 16, 16, 3)).astype(np.float32)
    found = draw_loss()(one, other, clean)
    assert found.shape == (2,)
    np.testing.assert_allclose(found, draw_loss()(other, one, clean), rtol=1e-5)
    np.testing.assert_allclose(draw_loss()(clean, clean, clean), 0, atol=1e-6)


def test_lpips_counts_of_the_first_estimate_and_of_both_samples(rng):
    weights = lpips.perceptual_params("alexnet")
    one, other, clean = rng.random((3, 1, 32, 32, 3)).astype(np.float32)
    distance = jax.jit(lpips.perceptual_distance)
    far = [float(distance(weights, photo, clean)[0]) for photo in (one, other)]

    def added(loss, *photos):
        config = DiffusionConfig(perceptual_weight=0.1)
        with_it, without = (loss(config, *photos, clean, used) for used in (weights, None))
        return float((with_it - without)[0])

    assert added(losses.first_loss, one) == pytest.approx(0.1 * far[0], rel=1e-3)
    per_sample = losses.DRAW_PERCEPTUAL * 0.1
    assert added(losses.draw_loss, one, other) == pytest.approx(per_sample * sum(far), rel=1e-3)


def test_the_first_estimates_loss_is_l1_of_photo_and_spectrum():
    """A constant error has all of its spectrum in one of h w coefficients."""
    clean = jnp.full((2, 20, 30, 3), 0.5)
    error = jnp.asarray([0.1, -0.2])[:, None, None, None]
    for weight in (0.0, 0.05):
        found = losses.first_loss(
            DiffusionConfig(spectrum_weight=weight), clean + error, clean, None
        )
        expected = np.array([0.1, 0.2]) * (1 + weight / np.sqrt(600))
        np.testing.assert_allclose(found, expected, atol=3e-4)
