"""Tiles of photos through the method, as functions to compile: the first estimate, a step, a draw.

What a draw carries from step to step are photos, an estimate x and a noise n, which stand for the
noisy state

    z_t = alpha_t encode(x) + sigma_t (noises.photo_to_state(n)).

Photos can be blended, and crops of them encoded again, so that the tiles of one photo agree
(engine.py); states of tiles cannot, for a spectrum belongs to its tile. The first estimate sees no
noise, since z_1 shows nothing: it is the same in all draws, and the noise of a draw joins it
afterwards. A whole draw of a tile (`make_draw`) is the first estimate and a scan of the same step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from fftdiff_jax.config import SamplingConfig
from fftdiff_jax.method import error_model, noises, samplers
from fftdiff_jax.method.method import Method
from fftdiff_jax.method.samplers import StepTimes


class FirstEstimate(NamedTuple):
    """What all draws start from."""

    photo: Float[Array, "b h w 3"]  # not clipped
    std: Float[Array, "b h w 1"]  # of its error


class Carry(NamedTuple):
    """A draw between two steps, as photos."""

    estimate: Float[Array, "b h w 3"]
    noise: Float[Array, "b h w 3"]


class Trajectory(NamedTuple):
    """Photos of every step of a draw, in [0, 1]."""

    times: Float[Array, " n"]
    noisy: Float[Array, "n b h w 3"]  # what the noisy states decode to
    estimates: Float[Array, "n b h w 3"]  # the clean estimates


def steps_taken(method: Method, steps: int, noise_scale: float) -> int:
    """1 where no noise is drawn: without it, no step after the first sees anything new."""
    return 1 if noise_scale == 0 and method.carries_photos else steps


First = Callable[[PyTree, Float[Array, "b h w 3"]], FirstEstimate]


def make_first(method: Method, sampling: SamplingConfig) -> First:
    """A function (params, rainy) -> the first estimate, for methods that carry photos."""

    def first(params: PyTree, rainy: Float[Array, "b h w 3"]) -> FirstEstimate:
        prediction = method.predict_first(params, rainy, sampling.mirror)
        return FirstEstimate(prediction.photo, jnp.exp(prediction.log_std))

    return first


Step = Callable[
    [
        PyTree,
        Float[Array, "b h w 3"],
        Int[Array, "b 3"],
        FirstEstimate,
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
    `carry` is not looked at in step 1. In the carry that reaches t = 0 the estimate is the draw, in
    [0, 1]. Any number of steps is the same compiled function.
    """
    step = _make_step(method, sampling)
    return lambda *arguments: step(*arguments)[0]


def make_draw(
    method: Method, sampling: SamplingConfig
) -> Callable[
    [PyTree, Float[Array, "b h w 3"], Int[Array, "b 3"], PRNGKeyArray], Float[Array, "b h w 3"]
]:
    """A function (params, rainy, tile_origins, key) -> whole draws of tiles, clipped to [0, 1].

    Photos are float32 (b, h, w, 3) in [0, 1]; `tile_origins` as in `make_step`.
    """
    trajectory = make_trajectory(method, sampling)

    def draw(
        params: PyTree,
        rainy: Float[Array, "b h w 3"],
        tile_origins: Int[Array, "b 3"],
        key: PRNGKeyArray,
    ) -> Float[Array, "b h w 3"]:
        return trajectory(params, rainy, tile_origins, key).estimates[-1]

    return draw


def make_trajectory(
    method: Method, sampling: SamplingConfig
) -> Callable[[PyTree, Float[Array, "b h w 3"], Int[Array, "b 3"], PRNGKeyArray], Trajectory]:
    """`make_draw` with all that is seen on the way."""
    make = _photo_trajectory if method.carries_photos else _state_trajectory
    steps = steps_taken(method, sampling.steps, sampling.noise_scale)
    draw = make(method, dataclasses.replace(sampling, steps=steps))
    times = samplers.step_times(steps, sampling.time_power)[:-1]

    def trajectory(
        params: PyTree,
        rainy: Float[Array, "b h w 3"],
        tile_origins: Int[Array, "b 3"],
        key: PRNGKeyArray,
    ) -> Trajectory:
        (noisy, estimate), later = draw(params, rainy, tile_origins, key)
        stacked = (
            jnp.concatenate([one[None], others])
            for one, others in zip((noisy, estimate), later, strict=True)
        )
        return Trajectory(times, *(jnp.clip(photos, 0.0, 1.0) for photos in stacked))

    return trajectory


class _Seen(NamedTuple):
    """What one step saw and made of it."""

    noisy: Float[Array, "b h w 3"]
    photo: Float[Array, "b h w 3"]


def _make_step(method: Method, sampling: SamplingConfig) -> Callable[..., tuple[Carry, _Seen]]:
    sampler = samplers.make_sampler(sampling)
    schedule, representation = method.schedule, method.representation
    scale = sampling.noise_scale

    def step(
        params: PyTree,
        rainy: Float[Array, "b h w 3"],
        tile_origins: Int[Array, "b 3"],
        first: FirstEstimate,
        carry: Carry,
        key: PRNGKeyArray,
        times: StepTimes,
    ) -> tuple[Carry, _Seen]:
        start_key, later = jax.random.split(key)

        def white(k: PRNGKeyArray) -> Float[Array, "b h w 3"]:
            return noises.placed_noise(k, tile_origins, _size(rainy))

        def fresh(k: PRNGKeyArray) -> Float[Array, "b h w 6"]:
            if not sampler.stochastic:  # it is not looked at
                return jnp.zeros((*rainy.shape[:-1], 6))
            return scale * method.noise.to_state(white(k), rainy)

        def to_states(photos: Carry) -> samplers.Carry:
            return samplers.Carry(
                representation.encode(photos.estimate, rainy),
                noises.photo_to_state(photos.noise, rainy),
            )

        def begin() -> Carry:
            fresh_key, error_key = jax.random.split(jax.random.fold_in(later, 0))
            estimate = first.photo
            if sampling.resample:
                spectrum = _first_error_spectrum(method, params)
                estimate += scale * first.std * error_model.error_noise(white(error_key), spectrum)
            noise = scale * noises.colour_as_rain(white(start_key))
            if not sampler.stochastic:  # then the noise of the start goes on unchanged
                return Carry(estimate, noise)
            states = to_states(Carry(estimate, noise))
            moved = samplers.begin(sampler, schedule, *states, times, fresh(fresh_key))
            return Carry(estimate, noises.state_to_photo(moved.noise, rainy))

        fresh_key, error_key = jax.random.split(jax.random.fold_in(later, times.number))
        carry = jax.lax.cond(times.number == 1, begin, lambda: carry)

        def denoise(noisy: Float[Array, "b h w 6"], t: Float[Array, ""]) -> samplers.Estimate:
            t = jnp.full(len(rainy), t)
            # All steps go by the first estimate, as in training.
            found = method.predict(params, noisy, rainy, t, first.photo, first.std)
            estimate, state = found.photo, found.state
            if sampling.resample:
                noise = error_model.error_noise(white(error_key), found.error_spectrum)
                estimate = found.photo + scale * jnp.exp(found.log_std) * noise
                state = representation.encode(estimate, rainy)
            seen = _Seen(representation.decode(noisy, rainy), found.photo)
            return samplers.Estimate(state, (estimate, seen))

        states = to_states(carry)
        moved, found = samplers.advance(sampler, schedule, denoise, states, times, fresh(fresh_key))
        estimate, seen = found.output
        ended = times.after == 0
        following = Carry(
            jnp.where(ended, jnp.clip(seen.photo, 0.0, 1.0), estimate),
            jnp.where(ended, 0.0, noises.state_to_photo(moved.noise, rainy)),
        )
        return following, seen

    return step


def _size(photos: Float[Array, "b h w 3"]) -> tuple[int, int]:
    return photos.shape[1], photos.shape[2]


def _first_error_spectrum(method: Method, params: PyTree) -> Float[Array, "1 n"]:
    # It depends on the time alone: any small picture tells it.
    return method.predict_first(params, jnp.zeros((1, 16, 16, 3))).error_spectrum


def _photo_trajectory(
    method: Method, sampling: SamplingConfig
) -> Callable[..., tuple[_Seen, _Seen]]:
    first_estimate, step = make_first(method, sampling), _make_step(method, sampling)
    times = samplers.later_steps(sampling.steps, sampling.time_power)

    def draw(
        params: PyTree,
        rainy: Float[Array, "b h w 3"],
        tile_origins: Int[Array, "b 3"],
        key: PRNGKeyArray,
    ) -> tuple[_Seen, _Seen]:
        first = first_estimate(params, rainy)
        white = noises.placed_noise(jax.random.split(key)[0], tile_origins, _size(rainy))
        noise = sampling.noise_scale * method.noise.to_state(white, rainy)
        _, seen = samplers.sample(
            lambda carry, times: step(params, rainy, tile_origins, first, carry, key, times),
            Carry(first.photo, jnp.zeros_like(rainy)),
            times,
        )
        return _Seen(method.representation.decode(noise, rainy), first.photo), seen

    return draw


def _state_trajectory(
    method: Method, sampling: SamplingConfig
) -> Callable[..., tuple[_Seen, _Seen]]:
    sampler = samplers.make_sampler(sampling)
    times = samplers.later_steps(sampling.steps, sampling.time_power)
    scale = sampling.noise_scale

    def draw(
        params: PyTree,
        rainy: Float[Array, "b h w 3"],
        tile_origins: Int[Array, "b 3"],
        key: PRNGKeyArray,
    ) -> tuple[_Seen, _Seen]:
        start_key, later = jax.random.split(key)

        def noise(k: PRNGKeyArray) -> Float[Array, "b h w 6"]:
            size, channels = _size(rainy), method.noise.channels
            white = noises.placed_noise(k, tile_origins, size, channels)
            return scale * method.noise.to_state(white, rainy)

        def denoise(noisy: Float[Array, "b h w 6"], t: Float[Array, ""]) -> samplers.Estimate:
            t, std = jnp.full(len(rainy), t), jnp.zeros_like(rainy[..., :1])
            found = method.predict(params, noisy, rainy, t, rainy, std, sampling.mirror)
            seen = _Seen(method.representation.decode(noisy, rainy), found.photo)
            return samplers.Estimate(found.state, seen)

        def step(carry: samplers.Carry, times: StepTimes) -> tuple[samplers.Carry, _Seen]:
            fresh = noise(jax.random.fold_in(later, times.number))
            carry, found = samplers.advance(sampler, method.schedule, denoise, carry, times, fresh)
            return carry, found.output

        start = noise(start_key)
        one = jnp.ones(())
        first = denoise(method.schedule.sigma(one) * start, one)
        if sampling.steps == 1:
            return first.output, jax.tree.map(lambda photo: photo[None][:0], first.output)
        begin = jax.tree.map(lambda leaf: leaf[0], times)
        carry = samplers.begin(
            sampler, method.schedule, first.clean, start, begin, noise(jax.random.fold_in(later, 0))
        )
        _, seen = samplers.sample(step, carry, times)
        return first.output, seen

    return draw
