"""Samplers: from noise to a clean state in a fixed number of steps.

A sampler is one rule for the move from time t to an earlier time s, given the denoiser's clean
estimate. A draw of n steps evaluates the network at the times (1 - i/n)^power, i < n. Between two
evaluations it is a clean estimate and a noise, which stand for z_t = alpha_t x + sigma_t eps, and
every step is the same function (`advance`): denoise, then move. At t = 1 alpha is next to nothing,
and any estimate will do to begin with. The last move lands on the estimate itself. Whoever draws
whole states scans `advance` (`sample`); whoever blends the tiles of a photo between two steps calls
it step by step.

A denoiser's estimate may be the mean of x given z_t, as usual. It may also be a *sample* of x given
z_t (denoiser.py): then eps = (z_t - alpha_t x)/sigma_t is the noise that belongs to that sample,
alpha_s x + sigma_s eps is a draw from p(z_s | z_t), and few steps lose no variance: even one step
is a draw. For a Gaussian this is exact at any number of steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from fftdiff_jax.config import SamplingConfig
from fftdiff_jax.errors import UserError
from fftdiff_jax.method import diffusion


class Level(NamedTuple):
    """What is left of signal and of noise at one time."""

    alpha: Float[Array, ""]
    sigma: Float[Array, ""]


class Sampler(Protocol):
    """One move of a sampler.

    Attributes:
      stochastic: whether a move adds fresh noise; where not, none is drawn for it.
    """

    @property
    def stochastic(self) -> bool:
        """See the class."""
        ...

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
      eta: 0 adds no fresh noise, 1 as much as DDPM.
    """

    eta: float = 0.0

    @property
    def stochastic(self) -> bool:
        """See `Sampler`."""
        return self.eta > 0

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
        fresh = self.eta * _posterior_std(alpha_t, sigma_t, alpha_s, sigma_s)
        kept = jnp.sqrt(jnp.maximum(jnp.square(sigma_s) - jnp.square(fresh), 0.0))
        return alpha_s * clean + kept * eps + fresh * noise


@dataclasses.dataclass(frozen=True)
class DDPM:
    """Ancestral sampling: a draw from q(z_s | z_t, x = estimate) (Ho et al. 2020, eq. 6 and 7)."""

    @property
    def stochastic(self) -> bool:
        """See `Sampler`."""
        return True

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
        return mean + _posterior_std(alpha_t, sigma_t, alpha_s, sigma_s) * noise


@dataclasses.dataclass(frozen=True)
class DPMSolver:
    """DPM-Solver++(2M): the estimate is extrapolated over log-SNR (Lu et al. 2022, algorithm 2)."""

    @property
    def stochastic(self) -> bool:
        """See `Sampler`."""
        return False

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
        weight = jnp.where(usable, step / (2 * jnp.where(usable, step_before, 1.0)), 0.0)
        extrapolated = (1 + weight) * clean - weight * last_clean
        decay = after.sigma / now.sigma
        return decay * noisy + (after.alpha - decay * now.alpha) * extrapolated


SAMPLERS: dict[str, Callable[[SamplingConfig], Sampler]] = {
    "ddim": lambda config: DDIM(config.eta),
    "ddpm": lambda config: DDPM(),
    "dpm_solver": lambda config: DPMSolver(),
}


def make_sampler(config: SamplingConfig) -> Sampler:
    """The sampler that a configuration names."""
    return SAMPLERS[config.sampler](config)


class StepTimes(NamedTuple):
    """Which step it is, from 0, and the times around it (before the first step, its own)."""

    number: Int[Array, "*n"]
    before: Float[Array, "*n"]
    now: Float[Array, "*n"]
    after: Float[Array, "*n"]


def step_times(steps: int, power: float = 1.0) -> StepTimes:
    """The steps of a draw, stacked; a power above 1 puts more of them near the clean photo.

    Raises:
      UserError: fewer than one step.
    """
    if steps < 1:
        raise UserError(f"steps is {steps}; a draw takes at least 1")
    times = jnp.linspace(1.0, 0.0, steps + 1) ** power
    return StepTimes(
        jnp.arange(steps), jnp.concatenate([times[:1], times[:-2]]), times[:-1], times[1:]
    )


class Carry(NamedTuple):
    """A draw between two evaluations: z_t = alpha_t clean + sigma_t noise."""

    clean: Float[Array, "*d"]
    noise: Float[Array, "*d"]


class Estimate(NamedTuple):
    """A denoiser's answer: the clean state, and whatever else its caller wants of it."""

    clean: Float[Array, "*d"]
    output: PyTree = None


def advance(
    sampler: Sampler,
    schedule: diffusion.Schedule,
    denoise: Callable[[Float[Array, "*d"], Float[Array, ""]], Estimate],
    carry: Carry,
    times: StepTimes,
    fresh: Float[Array, "*d"],
) -> tuple[Carry, Estimate]:
    """One step: the clean estimate of z_t, and the move to the next time.

    Args:
      sampler: the rule of a move.
      schedule: the forward process that the denoiser was trained on.
      denoise: (z_t, t) -> estimate.
      carry: what the step before left; at first, noise and any clean state.
      times: of this step.
      fresh: standard noise, for stochastic samplers.
    """
    before, now, after = (_level(schedule, t) for t in times[1:])
    noisy = diffusion.diffuse(carry.clean, carry.noise, now.alpha, now.sigma)
    estimate = denoise(noisy, times.now)
    moved = sampler.step(noisy, estimate.clean, carry.clean, (before, now, after), fresh)
    return Carry(estimate.clean, _noise_left(moved, estimate.clean, after)), estimate


def sample(
    step: Callable[[PyTree, StepTimes], tuple[PyTree, PyTree]], carry: PyTree, times: StepTimes
) -> tuple[PyTree, PyTree]:
    """Takes all steps of `times` in one `lax.scan`: the last carry, and every step's output."""
    return jax.lax.scan(step, carry, times)


def _level(schedule: diffusion.Schedule, t: Float[Array, ""]) -> Level:
    return Level(schedule.alpha(t), schedule.sigma(t))


def _noise_left(
    noisy: Float[Array, "*d"], clean: Float[Array, "*d"], level: Level
) -> Float[Array, "*d"]:
    """The noise that makes z_s with the estimate; none at t = 0, where z_0 is the estimate."""
    sigma = jnp.where(level.sigma > 0, level.sigma, 1.0)
    noise = diffusion.to_noise(clean, noisy, level.alpha, sigma)
    return jnp.where(level.sigma > 0, noise, 0.0)


def _half_log_snr(level: Level) -> Float[Array, ""]:
    return jnp.log(level.alpha / jnp.maximum(level.sigma, 1e-6))


def _posterior_std(
    alpha_t: Float[Array, ""],
    sigma_t: Float[Array, ""],
    alpha_s: Float[Array, ""],
    sigma_s: Float[Array, ""],
) -> Float[Array, ""]:
    """Standard deviation of q(z_s | z_t, x): sigma_s sigma_{t|s} / sigma_t (Ho et al., eq. 7)."""
    variance_ts = jnp.square(sigma_t) - jnp.square(alpha_t / alpha_s * sigma_s)
    return sigma_s / sigma_t * jnp.sqrt(jnp.maximum(variance_ts, 0.0))
