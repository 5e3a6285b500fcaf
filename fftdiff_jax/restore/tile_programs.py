"""Tiles of photos through the method, as functions to compile: the first estimate, a step, a draw.

What a draw carries from step to step are photos, an estimate x and a noise n, which stand for the
noisy state

    z_t = alpha_t encode(x) + sigma_t (noises.photo_to_state(n)).

Photos can be blended, and crops of them encoded again, so that the tiles of one photo agree
(engine.py); states of tiles cannot, for a spectrum belongs to its tile. A whole draw of a tile
(`make_draw`) is a scan of the same step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from fftdiff_jax.config import SamplingConfig
from fftdiff_jax.method import noises, samplers, spectra
from fftdiff_jax.method.method import Method
from fftdiff_jax.method.samplers import StepTimes


class Carry(NamedTuple):
    """A draw between two steps, as photos."""

    estimate: Float[Array | np.ndarray, "b h w 3"]
    noise: Float[Array | np.ndarray, "b h w 3"]


class Trajectory(NamedTuple):
    """Photos of every step of a draw, in [0, 1]."""

    times: Float[Array, " n"]
    noisy: Float[Array, "n b h w 3"]  # what the noisy states decode to
    estimates: Float[Array, "n b h w 3"]  # the clean estimates


def make_first(
    method: Method, sampling: SamplingConfig
) -> Callable[[PyTree, Float[Array, "b h w 3"]], Float[Array, "b h w 3"]]:
    """A function (params, rainy) -> the first estimate, for methods that have one."""
    return lambda params, rainy: method.estimate(params, rainy, sampling.mirror)


Step = Callable[
    [
        PyTree,
        Float[Array, "b h w 3"],
        Int[Array, "b 3"],
        Float[Array, "b h w 3"],
        Carry,
        PRNGKeyArray,
        StepTimes,
    ],
    Carry,
]


def make_step(method: Method, sampling: SamplingConfig) -> Step:
    """A function (params, rainy, tile_origins, first, carry, key, times) -> the next carry.

    `tile_origins` are rows of (draw, top, left). All noise is a function of the key, the draw and
    the place of a pixel in its whole photo, so that tiles of one draw agree where they overlap.
    `first` is the photo of the first estimate. `carry` is not looked at in step 0. In the carry
    that reaches t = 0 the estimate is the draw, not clipped. Any number of steps is the same
    compiled function.
    """
    step = _photo_step(method, sampling)
    return lambda *arguments: step(*arguments)[0]


Draw = Callable[
    [PyTree, Float[Array, "b h w 3"], Int[Array, "b 3"], PRNGKeyArray], Float[Array, "b h w 3"]
]


def make_draw(method: Method, sampling: SamplingConfig) -> Draw:
    """A function (params, rainy, tile_origins, key) -> whole draws of tiles, clipped to [0, 1].

    Photos are float32 (b, h, w, 3) in [0, 1]; `tile_origins` as in `make_step`.
    """
    trajectory = make_trajectory(method, sampling)
    return lambda *arguments: trajectory(*arguments).estimates[-1]


def make_restored(method: Method, sampling: SamplingConfig) -> Draw:
    """`make_draw`, or the first estimate where `sampling` draws nothing, clipped to [0, 1]."""
    if sampling.draws > 0 or method.first is None:
        return make_draw(method, sampling)
    first = make_first(method, sampling)
    return lambda params, rainy, *_: jnp.clip(first(params, rainy), 0.0, 1.0)


def make_trajectory(
    method: Method, sampling: SamplingConfig
) -> Callable[[PyTree, Float[Array, "b h w 3"], Int[Array, "b 3"], PRNGKeyArray], Trajectory]:
    """`make_draw` with all that is seen on the way."""
    photos = method.first is not None  # of what is carried
    step = (_photo_step if photos else _state_step)(method, sampling)
    times = samplers.step_times(sampling.steps, sampling.time_power)

    def trajectory(
        params: PyTree,
        rainy: Float[Array, "b h w 3"],
        tile_origins: Int[Array, "b 3"],
        key: PRNGKeyArray,
    ) -> Trajectory:
        first = rainy
        if method.first is not None:
            first = method.estimate(params, rainy, sampling.mirror)
        nothing = jnp.zeros((*rainy.shape[:-1], 3 if photos else spectra.CHANNELS))
        carry = (Carry if photos else samplers.Carry)(nothing, nothing)
        _, seen = samplers.sample(
            lambda carry, times: step(params, rainy, tile_origins, first, carry, key, times),
            carry,
            times,
        )
        dialled = first + sampling.realism * (seen.photo - first)
        return Trajectory(times.now, *(jnp.clip(x, 0.0, 1.0) for x in (seen.noisy, dialled)))

    return trajectory


class _Seen(NamedTuple):
    """What one step saw and made of it."""

    noisy: Float[Array, "b h w 3"]
    photo: Float[Array, "b h w 3"]


def _photo_step(method: Method, sampling: SamplingConfig) -> Callable[..., tuple[Carry, _Seen]]:
    """A step whose carry are photos."""
    advance, representation = _state_step(method, sampling), method.representation

    def step(
        params: PyTree,
        rainy: Float[Array, "b h w 3"],
        tile_origins: Int[Array, "b 3"],
        first: Float[Array, "b h w 3"],
        carry: Carry,
        key: PRNGKeyArray,
        times: StepTimes,
    ) -> tuple[Carry, _Seen]:
        states = samplers.Carry(
            representation.encode(jnp.asarray(carry.estimate), rainy),
            noises.photo_to_state(jnp.asarray(carry.noise), rainy),
        )
        moved, seen = advance(params, rainy, tile_origins, first, states, key, times)
        noise = noises.state_to_photo(moved.noise, rainy)
        return Carry(seen.photo, jnp.where(times.after == 0, 0.0, noise)), seen

    return step


def _state_step(
    method: Method, sampling: SamplingConfig
) -> Callable[..., tuple[samplers.Carry, _Seen]]:
    """A step whose carry are states."""
    sampler = samplers.make_sampler(sampling)

    def step(
        params: PyTree,
        rainy: Float[Array, "b h w 3"],
        tile_origins: Int[Array, "b 3"],
        first: Float[Array, "b h w 3"],
        carry: samplers.Carry,
        key: PRNGKeyArray,
        times: StepTimes,
    ) -> tuple[samplers.Carry, _Seen]:
        size = (rainy.shape[1], rainy.shape[2])
        start_key, later = jax.random.split(key)
        fresh_key, latent_key = jax.random.split(jax.random.fold_in(later, times.number))

        def noise(key: PRNGKeyArray) -> Float[Array, "b h w 6"]:
            white = noises.placed_noise(key, tile_origins, size, method.noise.channels)
            return method.noise.to_state(white, rainy)

        start = lambda: samplers.Carry(jnp.zeros_like(carry.clean), noise(start_key))  # noqa: E731
        carry = jax.lax.cond(times.number == 0, start, lambda: carry)
        fresh = noise(fresh_key) if sampler.stochastic else jnp.zeros_like(carry.noise)
        latent = noises.placed_latent(latent_key, tile_origins, size)

        def denoise(noisy: Float[Array, "b h w 6"], t: Float[Array, ""]) -> samplers.Estimate:
            t = jnp.full(len(rainy), t)
            found = method.predict(params, noisy, rainy, t, first, latent)
            seen = _Seen(method.representation.decode(noisy, rainy), found.photo)
            return samplers.Estimate(found.state, seen)

        carry, found = samplers.advance(sampler, method.schedule, denoise, carry, times, fresh)
        return carry, found.output

    return step
