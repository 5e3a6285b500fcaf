"""LPIPS as a loss and as a score.

Version 0.1 with its linear layers (Zhang et al. 2018), on photos scaled to [-1, 1]. A loss may know
AlexNet; VGG16 judges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from fftdiff_jax.errors import UserError
from fftdiff_jax.metrics import frozen

LEAST_PERCEPTUAL_SIDE = 32  # pixels: below it AlexNet's last maps are empty


def lpips_photo(
    restored: UInt8[np.ndarray, "h w 3"], clean: UInt8[np.ndarray, "h w 3"], net: str = "alexnet"
) -> float:
    """LPIPS of one photo of any size, in bounded memory and by a few programs (`frozen`).

    It is computed in full float32, which GPUs do not do by default: a score is the same on any
    machine.

    Raises:
      UserError: there is no such network.
    """
    params = frozen.load(net)
    sums, counts = np.zeros((2, 5))
    for part in frozen.in_blocks(np.stack([restored, clean])):
        for layer, places in enumerate(_maps(params, part.photos, part.size)):
            inner = part.counted(places[None], net, layer)
            sums[layer] += inner.sum(dtype=np.float64)
            counts[layer] += inner.size
    return float(np.sum(sums / counts))


@jax.jit
def _maps(
    params: Mapping[str, Any], photos: UInt8[Array, "2 h w 3"], size: Int[Array, " 2"]
) -> list[Float[Array, "h2 w2"]]:
    with jax.default_matmul_precision("highest"):
        found = frozen.features(params, photos.astype(jnp.float32) / 255, size)
        return [places[0] for places in _distances(params, *zip(*map(_split, found), strict=True))]


def _split(pair: Float[Array, "2 h w c"]) -> tuple[Float[Array, "1 h w c"], ...]:
    return pair[:1], pair[1:]


def perceptual_distance(
    params: Mapping[str, Any], a: Float[Array, "b h w 3"], b: Float[Array, "b h w 3"]
) -> Float[Array, " b"]:
    """LPIPS version 0.1 (Zhang et al. 2018, equation 1) of photos in [0, 1]; 0 for equal ones.

    A pure, deterministic function with finite gradients: a loss as well as a metric. `params` come
    from `frozen.load` and determine the network. Sides of at least 32 pixels.

    Raises:
      UserError: the photos are too small for the network.
    """
    if min(a.shape[-3:-1]) < LEAST_PERCEPTUAL_SIDE:
        raise UserError(
            f"LPIPS needs sides of at least {LEAST_PERCEPTUAL_SIDE} pixels, "
            f"found {a.shape[-2]}x{a.shape[-3]}"
        )
    # Each photo by itself, so that a loss takes no gradient through the truth's features.
    maps = _distances(params, frozen.features(params, a), frozen.features(params, b))
    return sum((jnp.mean(places, axis=(1, 2)) for places in maps), jnp.zeros(a.shape[0]))


def _distances(
    params: Mapping[str, Any],
    of_a: Sequence[Float[Array, "b h w c"]],
    of_b: Sequence[Float[Array, "b h w c"]],
) -> list[Float[Array, "b h w"]]:
    """What each place of each layer adds to the distance, before the mean over places."""
    maps = []
    for layer, (a, b) in enumerate(zip(of_a, of_b, strict=True)):
        weights = params[f"NetLinLayer_{layer}"]["Conv_0"]["kernel"].reshape(-1)
        maps.append(jnp.square(_unit_length(a) - _unit_length(b)) @ weights)
    return maps


def _unit_length(features: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Features over their length. Dark places have none: there the root has no gradient."""
    squared = jnp.sum(jnp.square(features), axis=-1, keepdims=True)
    dead = squared < 1e-20
    return jnp.where(dead, 0.0, features / jnp.sqrt(jnp.where(dead, 1.0, squared)))
