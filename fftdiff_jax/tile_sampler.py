"""Draws whole tiles of photos: representation, denoiser and sampler as one function to compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from fftdiff_jax import diffusion, noises, sampling, spectra, uncertainty
from fftdiff_jax.config import Config, SamplingConfig
from fftdiff_jax.denoiser import predict
from fftdiff_jax.errors import UserError


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
    sampler = sampling.make_sampler(sampling_config.sampler, sampling_config.eta)
    guidance, noise_scale = sampling_config.guidance, sampling_config.noise_scale
    if guidance != 1.0 and config.diffusion.condition_dropout == 0:
        raise UserError("sampling.guidance other than 1 wants a model with condition dropout")
    independent = config.diffusion.noise == "independent"
    knows_error = config.model.prediction == "image_consistent"
    resample = sampling_config.resample and noise_scale > 0 and knows_error
    representation = spectra.make_representation(config.representation)

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
            times = jnp.full(rainy.shape[:1], t)
            scale = jnp.full(rainy.shape[:1], noise_scale)
            seen_before = memory.shown, memory.deviation
            said = predict(config, params, noisy, rainy, times, *seen_before, scale)
            state = said.state
            if guidance != 1.0:
                # Ho and Salimans 2022, eq. 6, on the clean state: away from the blind one.
                nothing = jnp.zeros(rainy.shape[:1], bool)
                blind = predict(config, params, noisy, rainy, times, *seen_before, scale, nothing)
                state = blind.state + guidance * (said.state - blind.state)
                photo = representation.decode(state, rainy)
            else:
                photo = said.photo
            if resample:
                error = jnp.exp(said.log_deviation) * uncertainty.colour_noise(
                    white(k), said.colour
                )
                state = representation.encode(photo + noise_scale * error, rainy)
            # Draws go by the first estimate, as in training; refining goes by the last one.
            keep = (t < 1.0) & (noise_scale > 0)
            shown = jnp.where(keep, memory.shown, photo)
            deviation = jnp.where(keep, memory.deviation, jnp.exp(said.log_deviation))
            seen = representation.decode(noisy, rainy) if trajectory else rainy
            return sampling.Estimate(state, _Memory(shown, deviation, photo, seen))

        start, later = jax.random.split(key)
        last, path = sampling.sample(
            denoise,
            state_noise(start),
            _Memory(rainy, jnp.zeros_like(rainy[..., :1]), rainy, rainy),
            later,
            sampler=sampler,
            schedule=schedule,
            steps=sampling_config.steps,
            time_power=sampling_config.time_power,
            noise_scale=noise_scale,
            fresh_noise=state_noise,
            trajectory=trajectory,
        )
        if path is not None:
            times = sampling.step_times(sampling_config.steps, sampling_config.time_power)
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
