"""What the network says of its error: coloured noise and the losses that teach it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from fftdiff_jax.method import error_model, noises, spectra

KNOTS = len(error_model.SPECTRUM_KNOTS)


def test_grey_and_colour_are_an_orthonormal_basis():
    basis = noises.GREY_AND_COLOUR
    np.testing.assert_allclose(basis.T @ basis, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(basis[:, 0], 1 / np.sqrt(3), rtol=1e-6)


@pytest.mark.parametrize("size", [(48, 64), (33, 47)])
def test_power_has_mean_1_and_the_ratios_of_the_table(size, rng):
    table = jnp.asarray(rng.standard_normal((2, error_model.SPECTRUM_NUMBERS)), jnp.float32)
    power = np.asarray(error_model.error_power(table, *size))
    np.testing.assert_allclose(power.mean(axis=(1, 2, 3)), 1, rtol=1e-4)
    # A row of pixels apart from the centre by f * height is at frequency f.
    centre = (size[0] // 2, size[1] // 2)
    if size[0] % 16 == 0:
        for k, knot in enumerate(error_model.SPECTRUM_KNOTS[2:-1], start=2):
            row = centre[0] - round(knot * size[0])
            next_row = centre[0] - round(2 * knot * size[0])
            for channel, first in ((0, 0), (1, KNOTS), (2, KNOTS)):
                found = power[:, next_row, centre[1], channel] / power[:, row, centre[1], channel]
                said = np.exp(table[:, first + k + 1] - table[:, first + k])
                np.testing.assert_allclose(found, said, rtol=1e-3)


def test_noise_has_the_colour_that_was_asked_for(rng):
    table = jnp.asarray(rng.standard_normal((1, error_model.SPECTRUM_NUMBERS)), jnp.float32)
    tables = jnp.repeat(table, 64, axis=0)
    white = jax.random.normal(jax.random.key(0), (64, 32, 32, 3))
    noise = error_model.error_noise(white, tables)
    assert float(noise.var()) == pytest.approx(1, rel=0.1)
    turned = spectra.to_spectrum(noise @ noises.GREY_AND_COLOUR)
    power = np.asarray(jnp.mean(jnp.square(jnp.abs(turned)), axis=0))
    expected = np.asarray(error_model.error_power(table, 32, 32))[0]
    # Periodograms scatter by their own size over the root of 64: the mean ratio is 1 to 1 %.
    assert np.mean(power / expected) == pytest.approx(1, abs=0.01)
    assert np.corrcoef(np.log(power).ravel(), np.log(expected).ravel())[0, 1] > 0.9


def test_the_deviation_that_fits_best_is_the_true_one(rng):
    error = jnp.asarray(0.05 * rng.standard_normal((1, 64, 64, 3)), jnp.float32)

    def loss(value):
        guess = jnp.full((1, 64, 64, 1), value)
        return float(error_model.std_loss(error, guess)[0])

    best = scipy.optimize.minimize_scalar(loss, bounds=(-6, 0), method="bounded").x
    assert np.exp(best) == pytest.approx(0.05, rel=0.02)


def test_the_colour_that_fits_best_is_the_true_one(rng):
    """Gradient descent on the loss finds the table that noise was coloured with."""
    true = jnp.asarray([0.0, 0.5, 1.0, 0.0, -1.0, -1.5] + [-1.0] * KNOTS)[None]
    white = jax.random.normal(jax.random.key(0), (32, 64, 64, 3))
    noise = error_model.error_noise(white, jnp.repeat(true, 32, axis=0))

    @jax.jit
    def step(table):
        loss = lambda t: error_model.spectrum_loss(noise, jnp.repeat(t, 32, axis=0)).mean()  # noqa: E731
        return table - 10.0 * jax.grad(loss)(table)

    table = jnp.zeros_like(true)
    for _ in range(400):
        table = step(table)
    power, expected = (np.asarray(error_model.error_power(t, 64, 64)) for t in (table, true))
    # Waves longer than 32 pixels have few coefficients to learn from.
    known = spectra.radial_frequency(64, 64)[..., 0] > 1 / 32
    np.testing.assert_allclose(np.log(power / expected)[0][known], 0, atol=0.15)


def test_black_errors_have_finite_losses_and_gradients():
    zero = jnp.zeros((1, 16, 16, 3))
    table = jnp.zeros((1, error_model.SPECTRUM_NUMBERS))
    value, grads = jax.value_and_grad(
        lambda s, t: error_model.std_loss(zero, s).sum() + error_model.spectrum_loss(zero, t).sum(),
        argnums=(0, 1),
    )(jnp.zeros((1, 16, 16, 1)), table)
    assert np.isfinite(value)
    assert all(bool(jnp.isfinite(g).all()) for g in grads)
