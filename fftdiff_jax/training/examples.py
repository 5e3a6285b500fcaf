"""What the network is trained on: the crops of a batch, and which of them at which noise level.

Randomness is folded from (seed, step, index of the example in the global batch). A restart repeats
it, and the number of devices does not change what happens to an example.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

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


class Drawn(NamedTuple):
    """Which examples of a batch are trained for draws.

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


def drawn_examples(share: float, devices: int, count: int) -> Drawn:
    """Picks a share of `count` examples on each of `devices`, spread evenly over the whole batch.

    Which ones they are does not depend on the number of devices. A share above 0 takes one example
    at least.
    """
    edges = np.ceil(np.arange(devices * count + 1) * share - 1e-9)
    chosen = edges[1:] > edges[:-1]
    order = (np.cumsum(chosen) - 1).reshape(devices, count)
    chosen = chosen.reshape(devices, count)
    indices = np.argsort(~chosen, axis=1, kind="stable")[:, : chosen.sum(axis=1).max()]
    device = np.arange(devices)[:, None]
    return Drawn(indices, chosen[device, indices], order[device, indices])


def spread_times(
    key: Key[Array, ""], order: Int[Array, " n"], total: int, at_one: float = 0.0
) -> Float[Array, " n"]:
    """Times in (0, 1] of the examples that are number `order` of `total`.

    Evenly spread over the whole batch, with one random shift, which lowers the loss's variance
    (Kingma et al. 2021).

    Args:
      key: of the shift.
      order, total: see `Drawn`.
      at_one: share of the times that are 1, where every draw starts; the others lie below.
    """
    spread = jnp.mod(jax.random.uniform(key) + order / total, 1.0)
    return jnp.minimum(spread / (1.0 - at_one), 1.0)


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
