"""What draws say together, for draws whose variances are known."""

import numpy as np
import pytest

from fftdiff_jax.errors import UserError
from fftdiff_jax.metrics import draws as drawing


@pytest.mark.parametrize("count", [2, 4, 9])
def test_a_pair_of_linear_draws_has_no_error_of_its_own(count, rng):
    noise = rng.standard_normal((count, 400, 500))
    noise[1::2] = -noise[: count // 2 * 2 : 2]
    found = drawing.deviations(5.0 + 2.0 * noise)
    assert found.variance().mean() == pytest.approx(4.0, rel=0.02)
    assert found.mean_variance().max() < 1e-20


@pytest.mark.parametrize("count", [4, 10])
def test_draws_that_know_nothing_of_each_other(count, rng):
    """Then a pair is two draws like any others, and the mean of n has a n-th of the variance."""
    found = drawing.deviations(5.0 + 2.0 * rng.standard_normal((count, 400, 500)))
    assert found.variance().mean() == pytest.approx(4.0, rel=0.02)
    assert found.mean_variance().mean() == pytest.approx(4.0 / count, rel=0.02)


def test_even_parts_of_a_draw_are_not_lost(rng):
    """A draw of x + x^2 - 1 has the variances 1 and 2; pairs take off the first one alone."""
    noise = rng.standard_normal((8, 400, 500))
    noise[1::2] = -noise[::2]
    found = drawing.deviations(noise + noise**2 - 1)
    assert found.variance().mean() == pytest.approx(3.0, rel=0.03)
    assert found.mean_variance().mean() == pytest.approx(2.0 / 4, rel=0.03)


def test_spectra_of_the_deviations_have_the_power_of_the_draws(rng):
    """Any linear map of them does, so that one estimate serves pixels and frequencies."""
    found = drawing.deviations(rng.standard_normal((6, 32, 32)))
    power = sum(np.square(np.abs(np.fft.fft2(row, norm="ortho"))) for row in np.concatenate(found))
    assert power.mean() == pytest.approx(found.variance().mean())


def test_centred_pairs_keep_their_difference_and_have_the_estimate_as_mean(rng):
    draws, estimate = rng.random((6, 5, 4, 3)), rng.random((5, 4, 3))
    found = drawing.centred(draws, estimate)
    np.testing.assert_allclose(found[::2] - found[1::2], draws[::2] - draws[1::2])
    for one, other in zip(found[::2], found[1::2], strict=True):
        np.testing.assert_allclose((one + other) / 2, estimate)


def test_one_draw_has_no_spread():
    with pytest.raises(UserError, match="at least 2"):
        drawing.spread(np.zeros((1, 4, 4, 3)))
