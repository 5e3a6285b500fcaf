"""Samplers against a Gaussian, whose posterior and whose every step are known exactly.

For x ~ N(m, s^2) the best denoiser is linear, E[x | z_t] = m + k_t (z_t - alpha_t m) with
k_t = alpha_t s^2 / (alpha_t^2 s^2 + sigma_t^2). A sampler that is linear too then moves a Gaussian
to a Gaussian, and float64 recursions over (mean, deviation) say to which, for any number of steps.

Mean and deviation of what is linear depend on those of the noise alone. So the noise of a step is
a row of a Hadamard matrix: of mean 0 and deviation 1, and uncorrelated with all others, exactly. A
few numbers then show to float32's rounding what 200,000 random ones show to 1 %.
"""

from typing import get_args, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from fftdiff_jax.config import SamplingConfig, Target
from fftdiff_jax.errors import UserError
from fftdiff_jax.method import diffusion, samplers

MEAN, STD = 0.7, 0.4
SCHEDULES = [diffusion.CosineSchedule(), diffusion.LinearSchedule()]
TARGETS = get_args(Target)


def exact_denoiser(schedule, target, mean=MEAN, std=STD):
    """The best network of each target, turned into a clean estimate as a denoiser would."""

    def denoise(noisy, t):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        variance = jnp.square(alpha * std) + jnp.square(sigma)
        clean = mean + alpha * std**2 / variance * (noisy - alpha * mean)
        noise = sigma / variance * (noisy - alpha * mean)
        said = {"clean": clean, "noise": noise, "velocity": alpha * noise - sigma * clean}[target]
        return samplers.Estimate(diffusion.to_clean(said, noisy, alpha, sigma, target))

    return denoise


def uncorrelated_noise(steps):
    """Rows of at least `steps` numbers, each of mean 0 and deviation 1; no two are correlated."""
    return jnp.asarray(scipy.linalg.hadamard(2 ** (steps.bit_length()))[1:], jnp.float32)


def sampled(denoise, noise, *, sampler, schedule, steps, time_power=1.0):
    """A whole draw of states: every step's estimate, stacked.

    Row 0 of the noise is what it starts from, row n + 1 step n's.
    """

    def step(carry, times):
        fresh = noise[times.number + 1]
        return samplers.advance(sampler, schedule, denoise, carry, times, fresh)

    carry = samplers.Carry(jnp.zeros_like(noise[0]), noise[0])
    _, path = samplers.sample(step, carry, samplers.step_times(steps, time_power))
    return path


def draw(sampler, schedule, steps, targets=TARGETS):
    """Draws of each target, in one program: compiling is most of the time."""
    noise = jnp.repeat(uncorrelated_noise(steps + 1)[:, None], len(targets), axis=1)
    denoisers = [exact_denoiser(schedule, target) for target in targets]

    def denoise(noisy, t):
        clean = [one(some, t).clean for one, some in zip(denoisers, noisy, strict=True)]
        return samplers.Estimate(jnp.stack(clean))

    run = jax.jit(
        lambda noise: sampled(
            denoise, noise, sampler=sampler, schedule=schedule, steps=steps
        ).clean[-1]
    )
    return zip(targets, np.asarray(run(noise), np.float64), strict=True)


def levels(schedule, steps):
    t = jnp.linspace(1.0, 0.0, steps + 1)
    return np.asarray(schedule.alpha(t), np.float64), np.asarray(schedule.sigma(t), np.float64)


def gains(alpha, sigma):
    return alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)


def expected_ddim(schedule, steps, eta):
    """z_s = alpha_s x + sqrt(sigma_s^2 - f^2) eps + f n, written out for linear x(z), eps(z)."""
    alpha, sigma = levels(schedule, steps)
    mean, variance = 0.0, sigma[0] ** 2
    for t in range(steps):
        k = gains(alpha[t], sigma[t])
        x_mean, x_slope = MEAN + k * (mean - alpha[t] * MEAN), k
        eps_mean, eps_slope = (mean - alpha[t] * x_mean) / sigma[t], (1 - alpha[t] * k) / sigma[t]
        a, s = alpha[t + 1], sigma[t + 1]
        fresh2 = (eta * s / sigma[t]) ** 2 * (1 - (alpha[t] / a) ** 2)
        kept = np.sqrt(max(s**2 - fresh2, 0.0))  # at eta = 1 and t = 1 equal but for rounding
        mean = a * x_mean + kept * eps_mean
        variance = (a * x_slope + kept * eps_slope) ** 2 * variance + fresh2
    return mean, np.sqrt(variance)


def expected_ddpm(schedule, steps):
    """N(z_s; x, z_t): the product of N(z_t; r z_s, v) and N(z_s; alpha_s x, sigma_s^2)."""
    alpha, sigma = levels(schedule, steps)
    mean, variance = 0.0, sigma[0] ** 2
    for t in range(steps):
        k = gains(alpha[t], sigma[t])
        a, s = alpha[t + 1], sigma[t + 1]
        if s == 0:
            mean, variance = MEAN + k * (mean - alpha[t] * MEAN), k**2 * variance
            break
        r = alpha[t] / a
        v = sigma[t] ** 2 - r**2 * s**2
        precision = r**2 / v + 1 / s**2
        on_z, on_x = r / v / precision, a / s**2 / precision
        x_mean = MEAN + k * (mean - alpha[t] * MEAN)
        mean = on_z * mean + on_x * x_mean
        variance = (on_z + on_x * k) ** 2 * variance + 1 / precision
    return mean, np.sqrt(variance)


def check(draws, mean, deviation, target):
    # Of float32, which the noise target divides by alpha_1 = 5e-5 at the first step: 6e-8 / 5e-5.
    rounding = 3e-3 if target == "noise" else 2e-6
    assert draws.mean() == pytest.approx(mean, abs=rounding)
    assert draws.std() == pytest.approx(deviation, abs=rounding)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
@pytest.mark.parametrize("steps", [1, 2, 4, 50])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_moves_a_gaussian_as_derived(schedule, steps, eta):
    for target, draws in draw(samplers.DDIM(eta), schedule, steps):
        check(draws, *expected_ddim(schedule, steps, eta), target)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
@pytest.mark.parametrize("steps", [1, 2, 4, 50])
def test_ddpm_moves_a_gaussian_as_derived(schedule, steps):
    for target, draws in draw(samplers.DDPM(), schedule, steps):
        check(draws, *expected_ddpm(schedule, steps), target)


@pytest.mark.parametrize(
    ("sampler", "steps"),
    [
        (samplers.DDIM(), 250),
        (samplers.DDIM(1.0), 500),
        (samplers.DDPM(), 500),
        (samplers.DPMSolver(), 100),
    ],
    ids=repr,
)
def test_every_sampler_draws_the_posterior_in_the_limit(sampler, steps):
    ((_, draws),) = draw(sampler, diffusion.CosineSchedule(), steps, ["clean"])
    assert draws.mean() == pytest.approx(MEAN, abs=5e-5)
    assert draws.std() == pytest.approx(STD, rel=0.01)


def sampling_denoiser(schedule, times, noise):
    """A sample of p(x | z_t), of variance s^2 sigma^2/(alpha^2 s^2 + sigma^2) about its mean.

    Row n of the noise belongs to the n-th of the times.
    """

    def denoise(noisy, t):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        variance = jnp.square(alpha * STD) + jnp.square(sigma)
        mean = MEAN + alpha * STD**2 / variance * (noisy - alpha * MEAN)
        left = STD * sigma / jnp.sqrt(variance)
        own = noise[jnp.argmin(jnp.abs(times - t))]
        return samplers.Estimate(mean + left * own, mean)

    return denoise


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
@pytest.mark.parametrize(
    "sampler", [samplers.DDIM(), samplers.DDIM(0.7), samplers.DDPM()], ids=repr
)
@pytest.mark.parametrize("steps", [1, 2, 4, 20])
def test_sampled_estimates_draw_the_posterior_exactly_in_any_number_of_steps(
    sampler, schedule, steps
):
    """No limit of many steps is needed: the last estimate is a draw of N(m, s^2) after one."""
    noise, times = uncorrelated_noise(2 * steps + 1), samplers.step_times(steps, 1.5)
    path = jax.jit(
        lambda noise: sampled(
            sampling_denoiser(schedule, times.now, noise[steps + 1 :]),
            noise,
            sampler=sampler,
            schedule=schedule,
            steps=steps,
            time_power=1.5,
        )
    )(noise)
    draws = np.asarray(path.clean[-1], np.float64)
    # The noise that a draw starts from is z_1 but for alpha_1 x.
    lacking = MEAN * float(schedule.alpha(jnp.ones(())))
    assert draws.mean() == pytest.approx(MEAN, abs=lacking + 1e-6)
    assert draws.std() == pytest.approx(STD, abs=2e-6)
    # What is lost where the mean is kept at the last step is what the last z does not tell.
    t = times.now[-1]
    alpha, sigma = float(schedule.alpha(t)), float(schedule.sigma(t))
    seen = alpha * STD**2 / np.sqrt((alpha * STD) ** 2 + sigma**2)
    assert np.std(np.asarray(path.output[-1])) == pytest.approx(seen, abs=1e-4)


def test_times_start_at_1_end_at_0_and_bend_towards_0():
    times = samplers.step_times(4)
    np.testing.assert_array_equal(times.number, [0, 1, 2, 3])
    np.testing.assert_allclose(times.before, [1, 1, 0.75, 0.5], atol=1e-6)
    np.testing.assert_allclose(times.now, [1, 0.75, 0.5, 0.25], atol=1e-6)
    np.testing.assert_allclose(times.after, [0.75, 0.5, 0.25, 0], atol=1e-6)
    bent = samplers.step_times(4, 2.0)
    np.testing.assert_allclose(bent.now, [1, 0.5625, 0.25, 0.0625], atol=1e-7)


def test_ddim_with_eta_1_and_ddpm_agree():
    """Song et al. 2021, section 4.1: eta = 1 is DDPM; one rule is written with eps, one with z."""
    for steps in (2, 7):
        one = expected_ddim(diffusion.CosineSchedule(), steps, 1.0)
        other = expected_ddpm(diffusion.CosineSchedule(), steps)
        np.testing.assert_allclose(one, other, rtol=1e-4)


def test_dpm_solver_is_of_second_order():
    """Twice the steps, a quarter of the error; DDIM, of first order, halves it."""

    def errors(sampler):
        schedule = diffusion.LinearSchedule()
        noise = jnp.linspace(-2.0, 2.0, 101)

        def run(steps):
            return sampled(
                exact_denoiser(schedule, "clean"),
                jnp.broadcast_to(noise, (steps + 1, *noise.shape)),
                sampler=sampler,
                schedule=schedule,
                steps=steps,
            ).clean[-1]

        # The exact flow of a Gaussian is linear: it keeps z's number of deviations.
        alpha, sigma = levels(schedule, 1)
        start = np.sqrt((alpha[0] * STD) ** 2 + sigma[0] ** 2)
        exact = MEAN + STD * (sigma[0] * np.asarray(noise) - alpha[0] * MEAN) / start
        return [np.abs(np.asarray(run(steps)) - exact).max() for steps in (20, 40, 80)]

    second, first = errors(samplers.DPMSolver()), errors(samplers.DDIM())
    assert second[2] < first[2] / 3
    assert first[0] / first[1] == pytest.approx(2, rel=0.25)
    assert second[0] / second[1] > 2.8


@pytest.mark.parametrize(
    "sampler", [samplers.DDIM(), samplers.DDPM(), samplers.DPMSolver()], ids=repr
)
@pytest.mark.parametrize("steps", [1, 2, 5, 50])
def test_a_certain_posterior_is_hit_exactly(sampler, steps):
    schedule = diffusion.CosineSchedule()
    path = sampled(
        exact_denoiser(schedule, "clean", std=0.0),
        uncorrelated_noise(steps + 1),
        sampler=sampler,
        schedule=schedule,
        steps=steps,
    )
    np.testing.assert_allclose(path.clean[-1], MEAN, atol=1e-6)


def test_one_program_for_all_steps():
    """The denoiser is traced once, for all steps together."""
    traces = []

    def denoise(noisy, t):
        traces.append(t)
        return samplers.Estimate(0.5 * noisy)

    jax.jit(
        lambda noise: sampled(
            denoise,
            noise,
            sampler=samplers.DDIM(),
            schedule=diffusion.CosineSchedule(),
            steps=50,
        ).clean[-1]
    )(jnp.ones((51, 3)))
    assert len(traces) == 1


@pytest.mark.parametrize(
    "sampler",
    [samplers.DDIM(), samplers.DDIM(0.5), samplers.DDPM(), samplers.DPMSolver()],
    ids=repr,
)
def test_a_sampler_that_uses_fresh_noise_says_so(sampler):
    """Who says that it is not stochastic is given none."""
    levels = tuple(samplers.Level(jnp.float32(a), jnp.sqrt(1 - a**2)) for a in (0.3, 0.5, 0.8))
    one, other = (
        sampler.step(jnp.ones(4), 0.7 * jnp.ones(4), 0.6 * jnp.ones(4), levels, noise)
        for noise in (jnp.zeros(4), jnp.ones(4))
    )
    assert sampler.stochastic == bool(jnp.any(one != other))


def test_every_choice_of_the_configuration_is_in_the_registry():
    choices = get_args(get_type_hints(SamplingConfig)["sampler"])
    assert set(choices) == set(samplers.SAMPLERS)
    for name in choices:
        samplers.make_sampler(SamplingConfig(sampler=name))


def test_bad_arguments_are_refused_in_one_line():
    with pytest.raises(UserError, match="at least 1"):
        samplers.step_times(0)
