"""Samplers: from noise to a clean state in a fixed number of steps, as one `lax.scan`.

A sampler is one rule for a step from time t to an earlier time s, given the denoiser's clean
estimate. The times of n steps are (1 - i/n)^power; the last step lands on the estimate itself.

A denoiser's estimate may be the mean of x given z_t, as usual. It may also be a *sample* of x given
z_t (uncertainty.py): then eps = (z_t - alpha_t x)/sigma_t is the noise that belongs to that sample,
alpha_s x + sigma_s eps is a draw from p(z_s | z_t), and few steps lose no variance. For a Gaussian
this is exact at any number of steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from fftdiff_jax.errors import UserError
from fftdiff_jax.method import diffusion


class Level(NamedTuple):
    """The shares of signal and noise at one time."""

    alpha: Float[Array, ""]
    sigma: Float[Array, ""]


class Sampler(Protocol):
    """One step of a sampler."""

    def step(
        self,
        noisy: Float[Array, "*d"],
        clean: Float[Array, "*d"],
        last_clean: Float[Array, "*d"],
        levels: tuple[Level, Level, Level],
        noise: Float[Array, "*d"],
    ) -> Float[Array, "*d"]:
        """Goes from t to s.

        Args:
          noisy: z_t.
          clean: the denoiser's estimate of x from z_t.
          last_clean: its estimate one step before (at the first step, of no meaning).
          levels: at the time before t, at t and at s; at the first step the first two are equal.
          noise: fresh standard noise.
        """
        ...


@dataclasses.dataclass(frozen=True)
class DDIM:
    """Song, Meng and Ermon 2021, eq. 12 and 16.

    Attributes:
      eta: share of fresh noise: 0 is deterministic, 1 has the variance of DDPM.
    """

    eta: float = 0.0

    def step(
        self,
        noisy: Float[Array, "*d"],
        clean: Float[Array, "*d"],
        last_clean: Float[Array, "*d"],
        levels: tuple[Level, Level, Level],
        noise: Float[Array, "*d"],
    ) -> Float[Array, "*d"]:
        """See `Sampler`."""
        del last_clean
        _, (alpha_t, sigma_t), (alpha_s, sigma_s) = levels
        eps = diffusion.to_noise(clean, noisy, alpha_t, sigma_t)
        fresh = self.eta * _posterior_deviation(alpha_t, sigma_t, alpha_s, sigma_s)
        kept = jnp.sqrt(jnp.maximum(jnp.square(sigma_s) - jnp.square(fresh), 0.0))
        return alpha_s * clean + kept * eps + fresh * noise


@dataclasses.dataclass(frozen=True)
class DDPM:
    """Ancestral sampling: a draw from q(z_s | z_t, x = estimate) (Ho et al. 2020, eq. 6 and 7)."""

    def step(
        self,
        noisy: Float[Array, "*d"],
        clean: Float[Array, "*d"],
        last_clean: Float[Array, "*d"],
        levels: tuple[Level, Level, Level],
        noise: Float[Array, "*d"],
    ) -> Float[Array, "*d"]:
        """See `Sampler`."""
        del last_clean
        _, (alpha_t, sigma_t), (alpha_s, sigma_s) = levels
        alpha_ts = alpha_t / alpha_s  # q(z_t | z_s) = N(alpha_ts z_s, variance_ts)
        variance_ts = jnp.square(sigma_t) - jnp.square(alpha_ts * sigma_s)
        mean = (
            alpha_ts * jnp.square(sigma_s) * noisy + alpha_s * variance_ts * clean
        ) / jnp.square(sigma_t)
        return mean + _posterior_deviation(alpha_t, sigma_t, alpha_s, sigma_s) * noise


@dataclasses.dataclass(frozen=True)
class DPMSolver:
    """DPM-Solver++(2M): the estimate is extrapolated over log-SNR (Lu et al. 2022, algorithm 2)."""

    def step(
        self,
        noisy: Float[Array, "*d"],
        clean: Float[Array, "*d"],
        last_clean: Float[Array, "*d"],
        levels: tuple[Level, Level, Level],
        noise: Float[Array, "*d"],
    ) -> Float[Array, "*d"]:
        """See `Sampler`."""
        del noise
        before, now, after = levels
        # lambda = log(alpha/sigma); their h_i = lambda_s - lambda_t, h_{i-1} = lambda_t - lambda_r.
        step, step_before = (
            _half_log_snr(after) - _half_log_snr(now),
            jnp.maximum(_half_log_snr(now) - _half_log_snr(before), 0.0),
        )
        # First order where there is no step before, and at the last one, where lambda is infinite.
        usable = (step_before > 0) & (after.sigma > 0)
        share = jnp.where(usable, step / (2 * jnp.where(usable, step_before, 1.0)), 0.0)
        extrapolated = (1 + share) * clean - share * last_clean
        decay = after.sigma / now.sigma
        return decay * noisy + (after.alpha - decay * now.alpha) * extrapolated


def _half_log_snr(level: Level) -> Float[Array, ""]:
    return jnp.log(level.alpha / jnp.maximum(level.sigma, 1e-6))


def _posterior_deviation(
    alpha_t: Float[Array, ""],
    sigma_t: Float[Array, ""],
    alpha_s: Float[Array, ""],
    sigma_s: Float[Array, ""],
) -> Float[Array, ""]:
    """Deviation of q(z_s | z_t, x): sigma_s sigma_{t|s} / sigma_t (Ho et al. 2020, eq. 7)."""
    variance_ts = jnp.square(sigma_t) - jnp.square(alpha_t / alpha_s * sigma_s)
    return sigma_s / sigma_t * jnp.sqrt(jnp.maximum(variance_ts, 0.0))


def make_sampler(name: str, eta: float = 0.0) -> Sampler:
    """The sampler that a configuration names; `UserError` when there is none of that name."""
    registry: dict[str, Sampler] = {"ddim": DDIM(eta), "ddpm": DDPM(), "dpm_solver": DPMSolver()}
    if name not in registry:
        raise UserError(f"sampling.sampler is {name!r}; known: {', '.join(registry)}")
    return registry[name]


class Estimate(NamedTuple):
    """A denoiser's answer: the clean state, and whatever it wants to see again at the next step."""

    clean: Float[Array, "*d"]
    memory: PyTree


Denoise = Callable[[Float[Array, "*d"], Float[Array, ""], PyTree, PRNGKeyArray], Estimate]


def step_times(steps: int, power: float = 1.0) -> Float[Array, " n"]:
    """Times from 1 to 0, ends included; a power above 1 puts more of them near the clean photo."""
    return jnp.linspace(1.0, 0.0, steps + 1) ** power


def sample(
    denoise: Denoise,
    noise: Float[Array, "*d"],
    memory: PyTree,
    key: PRNGKeyArray,
    *,
    sampler: Sampler,
    schedule: diffusion.Schedule,
    steps: int,
    time_power: float = 1.0,
    noise_scale: float = 1.0,
    fresh_noise: Callable[[PRNGKeyArray], Float[Array, "*d"]] | None = None,
    trajectory: bool = False,
) -> tuple[Estimate, Estimate | None]:
    """Draws clean states, one network evaluation a step.

    Args:
      denoise: (z_t, t, memory, key) -> estimate; t is a scalar, the key is the step's own.
      noise: the start, z_1 / sigma_1, standard normal.
      memory: what the denoiser sees at the first step in place of an earlier estimate.
      key: for the noise that stochastic samplers add; each step folds its number into it.
      sampler: the rule of a step.
      schedule: the forward process that the denoiser was trained on.
      steps: network evaluations, at least 1; a static number.
      time_power: of `step_times`.
      noise_scale: factor on the start and on all added noise; 0 makes every draw the same.
      fresh_noise: draws standard noise of a state's shape; white by default.
      trajectory: also return the estimates of all steps, stacked in front.

    Returns:
      The last estimate, and the stacked ones or None.
    """
    if steps < 1:
        raise UserError(f"steps is {steps}; a draw takes at least 1")
    draw_noise = fresh_noise or (lambda k: jax.random.normal(k, noise.shape, noise.dtype))
    times = step_times(steps, time_power)
    levels = Level(schedule.alpha(times), schedule.sigma(times))

    def one_step(carry, i):
        noisy, last = carry
        of_noise, of_estimate = jax.random.split(jax.random.fold_in(key, i))
        estimate = denoise(noisy, times[i], last.memory, of_estimate)
        before, now, after = (
            Level(levels.alpha[j], levels.sigma[j]) for j in (jnp.maximum(i - 1, 0), i, i + 1)
        )
        added = noise_scale * draw_noise(of_noise)
        noisy = sampler.step(noisy, estimate.clean, last.clean, (before, now, after), added)
        return (noisy, estimate), estimate if trajectory else None

    # At t = 0 sigma is 0, so the last move lands on the last estimate.
    start = (levels.sigma[0] * noise_scale * noise, Estimate(jnp.zeros_like(noise), memory))
    (_, last), path = jax.lax.scan(one_step, start, jnp.arange(steps))
    return last, path
