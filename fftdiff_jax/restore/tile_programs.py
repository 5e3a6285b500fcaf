"""Draws tiles of photos: representation, denoiser and sampler as functions to compile.

Whole draws of a tile by itself (`make_tile_sampler`), or step by step (`make_first`, `make_step`),
so that tiles of one photo can be blended between two steps (restoration.py). What is carried from
step to step are then photos: an estimate x and a noise n, which stand for the noisy state

    z_t = alpha_t encode(x) + sigma_t (noises.to_state(n)).

Photos can be blended, and crops of them encoded again; states of tiles cannot, for a spectrum
belongs to its tile. The first step sees no noise, since z_1 shows nothing: it is the same in all
draws, and the noise of a draw joins it afterwards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from fftdiff_jax.config import Config, SamplingConfig
from fftdiff_jax.errors import UserError
from fftdiff_jax.method import diffusion, error_model, noises, representations, samplers, spectra
from fftdiff_jax.method.denoiser import Prediction, predict

FIRST_CHANNELS = 4  # of `make_first`: the photo, and its deviation
CARRY_CHANNELS = 6  # of `make_step`: the estimate, and the noise


def can_be_blended(config: Config) -> bool:
    """Whether states are those of photos, so that tiles can be blended between steps."""
    return config.diffusion.noise == "photo" and config.model.prediction == "image_consistent"


def steps_taken(config: Config, steps: int, noise_scale: float) -> int:
    """1 where no noise is drawn: without it, no step after the first sees anything new."""
    return 1 if noise_scale == 0 and can_be_blended(config) else steps


class _Said(NamedTuple):
    state: Float[Array, "b h w 6"]  # clean, sampled where estimates are
    estimate: Float[Array, "b h w 3"]  # the photo that it decodes to
    photo: Float[Array, "b h w 3"]  # the best one, never sampled
    deviation: Float[Array, "b h w 1"]  # of its error


def _make_denoise(config: Config, sampling_config: SamplingConfig) -> Callable[..., _Said]:
    """The denoiser as samplers use it: guided, and sampled where that is asked for."""
    guidance, noise_scale = sampling_config.guidance, sampling_config.noise_scale
    mirror = sampling_config.mirror
    if mirror and config.model.prediction != "image_consistent":
        raise UserError("sampling.mirror wants a model that sees photos: image_consistent")
    if guidance != 1.0 and config.diffusion.condition_dropout == 0:
        raise UserError("sampling.guidance other than 1 wants a model with condition dropout")
    knows_error = config.model.prediction == "image_consistent"
    resample = sampling_config.resample and noise_scale > 0 and knows_error
    representation = representations.make_representation(config.representation)

    def denoise(params, noisy, rainy, t, shown, deviation, white) -> _Said:
        times = jnp.full(rainy.shape[:1], t)

        def look(keep: Array | None = None) -> Prediction:
            def say(twice: bool) -> Prediction:
                return predict(config, params, noisy, rainy, times, shown, deviation, keep, twice)

            if not mirror:
                return say(False)
            # Only the first estimate, from which draws go on and which is their mean.
            return jax.lax.cond(t >= 1.0, lambda: say(True), lambda: say(False))

        said = look()
        state, photo = said.state, said.photo
        if guidance != 1.0:
            # Ho and Salimans 2022, eq. 6, on the clean state: away from the blind one.
            nothing = jnp.zeros(rainy.shape[:1], bool)
            blind = look(nothing)
            state = blind.state + guidance * (said.state - blind.state)
            photo = representation.decode(state, rainy)
        estimate, error = photo, jnp.exp(said.log_deviation)
        if resample:
            noise = error_model.colour_noise(white(), said.colour)
            estimate = photo + noise_scale * error * noise
            state = representation.encode(estimate, rainy)
        return _Said(state, estimate, photo, error)

    return denoise


def make_first(
    config: Config, sampling_config: SamplingConfig
) -> Callable[[PyTree, Array], Float[Array, "b h w 4"]]:
    """A function (params, rainy) -> the first estimate, not clipped, and its deviation."""
    denoise = _make_denoise(config, dataclasses.replace(sampling_config, resample=False))

    def first(params: PyTree, rainy: Float[Array, "b h w 3"]) -> Float[Array, "b h w 4"]:
        noisy = jnp.zeros((*rainy.shape[:-1], spectra.CHANNELS))
        said = denoise(params, noisy, rainy, 1.0, rainy, jnp.zeros_like(rainy[..., :1]), None)
        return jnp.concatenate([said.photo, said.deviation], axis=-1)

    return first


def make_step(
    config: Config, sampling_config: SamplingConfig
) -> Callable[..., Float[Array, "b h w 6"]]:
    """A function (params, rainy, places, first, carry, key, moment) -> the next carry.

    `moment` holds the number of the step, from 1, and the times before it, of it and after it; any
    number of steps is the same compiled function. `carry` is not looked at in step 1. In the carry
    that reaches t = 0 the estimate is the draw, in [0, 1].
    """
    schedule = diffusion.make_schedule(config.diffusion.schedule)
    sampler = samplers.make_sampler(sampling_config.sampler, sampling_config.eta)
    denoise = _make_denoise(config, dataclasses.replace(sampling_config, mirror=False))
    representation = representations.make_representation(config.representation)
    scale = sampling_config.noise_scale
    adds_noise = sampling_config.sampler == "ddpm" or sampling_config.eta > 0

    def first_colour(params):
        # It depends on the time alone: any small picture tells it.
        photo = jnp.zeros((1, 16, 16, 3))
        state, none = jnp.zeros((1, 16, 16, spectra.CHANNELS)), jnp.zeros((1, 16, 16, 1))
        return predict(config, params, state, photo, jnp.ones(1), photo, none).colour

    def step(params, rainy, places, first, carry, key, moment) -> Float[Array, "b h w 6"]:
        number, times = moment[0].astype(jnp.int32), moment[1:]
        before, now, after = (samplers.Level(schedule.alpha(t), schedule.sigma(t)) for t in times)
        size = (rainy.shape[1], rainy.shape[2])
        of_start, later = jax.random.split(key)
        of_noise, of_estimate = jax.random.split(jax.random.fold_in(later, number))
        noise_of_first, of_first = jax.random.split(jax.random.fold_in(later, 0))

        def white(k):
            return noises.placed_noise(k, places, size)

        def begin():
            estimate = first[..., :3]
            if sampling_config.resample:
                coloured = error_model.colour_noise(white(of_first), first_colour(params))
                estimate += scale * first[..., 3:] * coloured
            noise = scale * noises.colour_rain(white(of_start))
            if adds_noise:  # else the noise of the start goes on unchanged
                state = representation.encode(estimate, rainy)
                start = before.sigma * noises.to_state(noise, rainy)
                fresh = scale * noises.turn_noise(white(noise_of_first), rainy)
                moved = sampler.step(start, state, state, (before, before, now), fresh)
                noise = noises.from_state((moved - now.alpha * state) / now.sigma, rainy)
            return jnp.concatenate([estimate, noise], axis=-1)

        estimate, noise = jnp.split(jax.lax.cond(number == 1, begin, lambda: carry), 2, axis=-1)
        last_clean = representation.encode(estimate, rainy)
        noisy = diffusion.diffuse(last_clean, noises.to_state(noise, rainy), now.alpha, now.sigma)
        # All steps go by the first estimate, as in training.
        said = denoise(
            params,
            noisy,
            rainy,
            times[1],
            first[..., :3],
            first[..., 3:],
            lambda: white(of_estimate),
        )
        fresh = jnp.zeros_like(noisy)
        if adds_noise:
            fresh = scale * noises.turn_noise(white(of_noise), rainy)
        following = sampler.step(noisy, said.state, last_clean, (before, now, after), fresh)
        left = (following - after.alpha * said.state) / jnp.maximum(after.sigma, 1e-6)
        ended = after.sigma == 0
        return jnp.concatenate(
            [
                jnp.where(ended, jnp.clip(said.photo, 0.0, 1.0), said.estimate),
                jnp.where(ended, 0.0, noises.from_state(left, rainy)),
            ],
            axis=-1,
        )

    return step


def make_tile_sampler(
    config: Config, sampling_config: SamplingConfig, *, trajectory: bool = False
) -> Callable[[PyTree, Array, Array, PRNGKeyArray], Any]:
    """A function (params, rainy, places, key) -> clean photos, to be compiled.

    Photos are float32 (b, h, w, 3) in [0, 1], cut from larger ones at `places`: rows of (draw, top,
    left). All noise is a function of the key, the draw and the place of a pixel in its whole photo,
    so that tiles of one draw agree where they overlap. The result is clipped to [0, 1].

    With `trajectory` the result is a `Trajectory` instead.
    """
    schedule = diffusion.make_schedule(config.diffusion.schedule)
    sampler = samplers.make_sampler(sampling_config.sampler, sampling_config.eta)
    noise_scale = sampling_config.noise_scale
    steps = steps_taken(config, sampling_config.steps, noise_scale)
    denoise_with = _make_denoise(config, sampling_config)
    independent = config.diffusion.noise == "independent"
    representation = representations.make_representation(config.representation)

    def restore(
        params: PyTree,
        rainy: Float[Array, "b h w 3"],
        places: Int[Array, "b 3"],
        key: PRNGKeyArray,
    ) -> Float[Array, "b h w 3"] | Trajectory:
        size = (rainy.shape[1], rainy.shape[2])

        def white(k, channels=3):
            return noises.placed_noise(k, places, size, channels)

        def state_noise(k):
            if independent:
                return white(k, spectra.CHANNELS)
            return noises.turn_noise(white(k), rainy)

        def denoise(noisy, t, memory, k):
            said = denoise_with(
                params, noisy, rainy, t, memory.shown, memory.deviation, lambda: white(k)
            )
            # All steps go by the first estimate, as in training.
            shown = jnp.where(t < 1.0, memory.shown, said.photo)
            deviation = jnp.where(t < 1.0, memory.deviation, said.deviation)
            seen = representation.decode(noisy, rainy) if trajectory else rainy
            return samplers.Estimate(said.state, _Memory(shown, deviation, said.photo, seen))

        start, later = jax.random.split(key)
        last, path = samplers.sample(
            denoise,
            state_noise(start),
            _Memory(rainy, jnp.zeros_like(rainy[..., :1]), rainy, rainy),
            later,
            sampler=sampler,
            schedule=schedule,
            steps=steps,
            time_power=sampling_config.time_power,
            noise_scale=noise_scale,
            fresh_noise=state_noise,
            trajectory=trajectory,
        )
        if path is not None:
            times = samplers.step_times(steps, sampling_config.time_power)
            seen, said = (jnp.clip(x, 0.0, 1.0) for x in (path.memory.seen, path.memory.photo))
            return Trajectory(times[:-1], seen, said)
        return jnp.clip(last.memory.photo, 0.0, 1.0)

    return restore


class Trajectory(NamedTuple):
    """Photos of every step of a draw, in [0, 1]."""

    times: Float[Array, " n"]
    noisy: Float[Array, "n b h w 3"]  # what the noisy states decode to
    estimates: Float[Array, "n b h w 3"]  # the clean estimates


class _Memory(NamedTuple):
    shown: Float[Array, "b h w 3"]  # the estimate that the network sees at the next step
    deviation: Float[Array, "b h w 1"]  # how wrong it thinks that is
    photo: Float[Array, "b h w 3"]  # the last estimate
    seen: Float[Array, "b h w 3"]  # what the noisy state decodes to, for a trajectory
