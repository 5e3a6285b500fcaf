"""What the network is trained on: the crops of a batch, and which of them at which noise level.

Randomness is folded from (seed, step, index of the example in the global batch). A restart repeats
it, and the number of devices does not change what happens to an example.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from fftdiff_jax.config import Config
from fftdiff_jax.method import diffusion
from fftdiff_jax.method.method import Method
from fftdiff_jax.method.noises import draw_noise


class Batch(NamedTuple):
    """Pairs of crops, one slice a device."""

    clean: UInt8[Array | np.ndarray, "d b h w 3"]
    rainy: UInt8[Array | np.ndarray, "d b h w 3"]


class Noised(NamedTuple):
    """Examples of one batch after the forward process: z_t and what it was made of."""

    state: Float[Array, "n h w 6"]
    noise: Float[Array, "n h w 6"]
    noisy: Float[Array, "n h w 6"]
    t: Float[Array, " n"]


class Later(NamedTuple):
    """Which examples of a batch are trained at a random time too.

    All devices run one program, so all have the same number n of rows. Rows that are left over on a
    device hold an example that does not count.
    """

    indices: Int[np.ndarray, "d n"]  # among the examples of the device
    counts: Bool[np.ndarray, "d n"]
    order: Int[np.ndarray, "d n"]  # among all that count, on all devices

    @property
    def total(self) -> int:
        """How many count, on all devices together."""
        return int(self.counts.sum())


def config_at(config: Config, step: int) -> Config:
    """What holds in update `step`, the first of which is 1: no draws before `draw_start` of all.

    Draws begin where the first estimate has been learnt for the most part: they start from it, and
    before it is good they only take its time.
    """
    diffusion = config.diffusion
    if step > diffusion.draw_start * config.training.steps or diffusion.loss == "state":
        return config
    return dataclasses.replace(config, diffusion=dataclasses.replace(diffusion, draw_share=0.0))


def uses_first_estimate(config: Config) -> bool:
    """Whether the estimate at t = 1 has a loss, or the network looks at it at other times."""
    sees_it = config.model.self_conditioning and config.model.prediction == "image_consistent"
    return config.diffusion.loss == "photo" or sees_it


def later_examples(config: Config, devices: int, count: int) -> Later:
    """Picks from `count` examples on each of `devices`, spread evenly over the whole batch.

    Which ones they are does not depend on the number of devices. A `draw_share` above 0 takes one
    example at least. With the loss on the state every one is taken, and no other time is trained.
    """
    fraction = 1.0 if config.diffusion.loss == "state" else config.diffusion.draw_share
    edges = np.ceil(np.arange(devices * count + 1) * fraction - 1e-9)
    chosen = edges[1:] > edges[:-1]
    order = (np.cumsum(chosen) - 1).reshape(devices, count)
    chosen = chosen.reshape(devices, count)
    indices = np.argsort(~chosen, axis=1, kind="stable")[:, : chosen.sum(axis=1).max()]
    device = np.arange(devices)[:, None]
    return Later(indices, chosen[device, indices], order[device, indices])


def spread_times(key: Key[Array, ""], order: Int[Array, " n"], total: int) -> Float[Array, " n"]:
    """Times in (0, 1) of the examples that are number `order` of `total`.

    Evenly spread over the whole batch, with one random shift, which lowers the loss's variance
    (Kingma et al. 2021).
    """
    return jnp.mod(jax.random.uniform(key) + order / total, 1.0)


def noise_examples(
    method: Method,
    clean: Float[Array, "n h w 3"],
    rainy: Float[Array, "n h w 3"],
    keys: Key[Array, " n"],
    t: Float[Array, " n"],
) -> Noised:
    """Takes pairs of photos in [0, 1] through the forward process, each with its own noise."""
    schedule = method.schedule
    state = method.representation.encode(clean, rainy)
    noise = jax.vmap(functools.partial(draw_noise, method.noise))(keys, rainy)
    alpha, sigma = schedule.alpha(t)[:, None, None, None], schedule.sigma(t)[:, None, None, None]
    return Noised(state, noise, diffusion.diffuse(state, noise, alpha, sigma), t)
