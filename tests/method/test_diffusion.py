"""Schedules, targets and weights against their definitions."""

import math
from typing import get_args, get_type_hints

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fftdiff_jax.config import DiffusionConfig, Target
from fftdiff_jax.method import diffusion

SCHEDULES = [diffusion.CosineSchedule(), diffusion.LinearSchedule()]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_variance_is_preserved_and_signal_falls(schedule):
    t = jnp.linspace(0.0, 1.0, 1001)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    np.testing.assert_allclose(jnp.square(alpha) + jnp.square(sigma), 1.0, atol=1e-6)
    assert float(alpha[0]) == 1
    assert float(sigma[0]) == 0
    assert float(alpha[-1]) < 0.01
    assert float(alpha[-1]) > 0
    assert bool(jnp.all(jnp.diff(alpha) < 0))


def test_cosine_schedule_has_the_papers_values():
    """Nichol and Dhariwal 2021, eq. 17: alpha_bar(t) = f(t)/f(0), f = cos^2 of the angle."""
    schedule, s = diffusion.CosineSchedule(), 0.008
    for t in (0.1, 0.25, 0.5, 0.9):
        f = math.cos((t + s) / (1 + s) * math.pi / 2) ** 2
        f0 = math.cos(s / (1 + s) * math.pi / 2) ** 2
        assert float(schedule.alpha(jnp.float32(t))) ** 2 == pytest.approx(f / f0, rel=1e-4)


def test_linear_schedule_integrates_its_beta():
    """alpha_t = exp(-1/2 integral of beta), integrated numerically."""
    times = np.linspace(0, 0.7, 10001)
    beta = 0.1 + (20 - 0.1) * times
    expected = math.exp(-0.5 * np.trapezoid(beta, times))
    got = diffusion.LinearSchedule().alpha(jnp.float32(0.7))
    assert float(got) == pytest.approx(expected, rel=1e-4)


@settings(max_examples=50, deadline=None)
@given(t=st.floats(0.02, 0.99), seed=st.integers(0, 99))
@pytest.mark.parametrize("target", get_args(Target))
@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_every_target_gives_back_the_clean_value(schedule, target, t, seed):
    rng = np.random.default_rng(seed)
    x, noise = (jnp.asarray(rng.standard_normal((2, 5)), jnp.float32) for _ in range(2))
    alpha, sigma = schedule.alpha(jnp.float32(t)), schedule.sigma(jnp.float32(t))
    noisy = diffusion.diffuse(x, noise, alpha, sigma)
    said = diffusion.to_target(x, noise, alpha, sigma, target)
    back = diffusion.to_clean(said, noisy, alpha, sigma, target)
    # The noise target divides by alpha, which magnifies float32's rounding by as much.
    np.testing.assert_allclose(back, x, atol=1e-5 / float(alpha))
    np.testing.assert_allclose(
        diffusion.to_noise(x, noisy, alpha, sigma), noise, atol=1e-5 / float(sigma)
    )


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_log_snr_is_the_log_of_the_ratio(schedule):
    t = jnp.array([0.2, 0.5, 0.8])
    expected = np.log(np.square(schedule.alpha(t) / schedule.sigma(t)))
    np.testing.assert_allclose(diffusion.log_snr(schedule, t), expected, rtol=1e-4)
    ends = diffusion.log_snr(schedule, jnp.array([0.0, 1.0]))
    assert bool(jnp.all(jnp.isfinite(ends)))


def test_every_schedule_can_be_configured():
    choices = get_args(get_type_hints(DiffusionConfig)["schedule"])
    assert set(choices) == set(diffusion.SCHEDULES)
