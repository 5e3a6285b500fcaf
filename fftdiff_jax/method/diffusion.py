"""Noise schedules, the forward process and what a network may be trained to predict.

Everything is variance preserving and in continuous time t in [0, 1], from clean to noise:

    z_t = alpha_t x + sigma_t eps,      alpha_t^2 + sigma_t^2 = 1,      eps ~ N(0, I).

Ho, Jain and Abbeel 2020 (DDPM, eq. 4); Kingma et al. 2021 (log-SNR and continuous time); Salimans
and Ho 2022 (velocity). Nothing here knows what x is.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Protocol

import jax.numpy as jnp
from jaxtyping import Array, Float

from fftdiff_jax.config import Target


class Schedule(Protocol):
    """How much signal and noise is left at each time."""

    def alpha(self, t: Float[Array, ...]) -> Float[Array, ...]:
        """How much of the signal is left at time t in [0, 1]."""
        ...

    def sigma(self, t: Float[Array, ...]) -> Float[Array, ...]:
        """How much noise there is at time t in [0, 1]."""
        ...


@dataclasses.dataclass(frozen=True)
class CosineSchedule:
    """alpha_t = cos(pi/2 (t + s)/(1 + s)) / cos(pi/2 s/(1 + s)) (Nichol and Dhariwal 2021, eq. 17).

    Attributes:
      offset: their s, which keeps the first steps from being too small to learn from.
      least_alpha: alpha at t = 1. Exactly 0 would leave noise and velocity targets undefined;
        theirs, from clipping beta at 0.999, is 4.9e-5 with 1000 steps.
    """

    offset: float = 0.008
    least_alpha: float = 5e-5

    def alpha(self, t: Float[Array, ...]) -> Float[Array, ...]:
        """See `Schedule`."""
        start = math.cos(math.pi / 2 * self.offset / (1 + self.offset))
        angle = math.pi / 2 * (t + self.offset) / (1 + self.offset)
        return jnp.clip(jnp.cos(angle) / start, self.least_alpha, 1.0)

    def sigma(self, t: Float[Array, ...]) -> Float[Array, ...]:
        """See `Schedule`; exactly 0 at t = 0."""
        alpha = self.alpha(t)
        # (1 - a)(1 + a) keeps the digits that 1 - a^2 loses near t = 0.
        return jnp.sqrt((1 - alpha) * (1 + alpha))


@dataclasses.dataclass(frozen=True)
class LinearSchedule:
    """The continuous form of DDPM's linear beta: alpha_t = exp(-(b1 - b0) t^2/4 - b0 t/2).

    Song et al. 2021, eq. 33, with beta from 0.1 to 20.
    """

    first: float = 0.1
    last: float = 20.0

    def alpha(self, t: Float[Array, ...]) -> Float[Array, ...]:
        """See `Schedule`."""
        return jnp.exp(-0.25 * (self.last - self.first) * jnp.square(t) - 0.5 * self.first * t)

    def sigma(self, t: Float[Array, ...]) -> Float[Array, ...]:
        """See `Schedule`; exactly 0 at t = 0."""
        return jnp.sqrt(-jnp.expm1(2 * jnp.log(self.alpha(t))))


SCHEDULES: dict[str, type[Schedule]] = {"cosine": CosineSchedule, "linear": LinearSchedule}


def log_snr(schedule: Schedule, t: Float[Array, ...]) -> Float[Array, ...]:
    """log(alpha_t^2 / sigma_t^2), clipped to +-20, which float32 can tell from certainty."""
    ratio = schedule.alpha(t) / jnp.maximum(schedule.sigma(t), 1e-6)
    return jnp.clip(2 * jnp.log(ratio), -20.0, 20.0)


def diffuse(
    x: Float[Array, "b ..."],
    noise: Float[Array, "b ..."],
    alpha: Float[Array, "b *#d"],
    sigma: Float[Array, "b *#d"],
) -> Float[Array, "b ..."]:
    """z_t = alpha_t x + sigma_t eps (Ho et al. 2020, eq. 4)."""
    return alpha * x + sigma * noise


def to_target(
    x: Float[Array, "b ..."],
    noise: Float[Array, "b ..."],
    alpha: Float[Array, "b *#d"],
    sigma: Float[Array, "b *#d"],
    target: Target,
) -> Float[Array, "b ..."]:
    """What a network of this target should output: x, eps or v = alpha eps - sigma x."""
    if target == "clean":
        return x
    if target == "noise":
        return noise
    return alpha * noise - sigma * x


def to_clean(
    prediction: Float[Array, "b ..."],
    noisy: Float[Array, "b ..."],
    alpha: Float[Array, "b *#d"],
    sigma: Float[Array, "b *#d"],
    target: Target,
) -> Float[Array, "b ..."]:
    """The clean x that a prediction implies: the inverse of `to_target` given z_t."""
    if target == "clean":
        return prediction
    if target == "noise":
        return (noisy - sigma * prediction) / alpha
    return alpha * noisy - sigma * prediction


def to_noise(
    x: Float[Array, "b ..."],
    noisy: Float[Array, "b ..."],
    alpha: Float[Array, "b *#d"],
    sigma: Float[Array, "b *#d"],
) -> Float[Array, "b ..."]:
    """The noise that, with x, makes z_t: (z_t - alpha_t x) / sigma_t."""
    return (noisy - alpha * x) / sigma
