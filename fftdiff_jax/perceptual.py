"""LPIPS of photos of any size, in bounded memory."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from fftdiff_jax.metrics import distance_maps, perceptual_params

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
    the distance is that of the whole photo.
    """
    sums, counts = np.zeros((2, 5))
    for rows in _blocks(clean.shape[0]):
        for columns in _blocks(clean.shape[1]):
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


class _Block(NamedTuple):
    """One block along one side: what is seen, and what of it counts, in pixels."""

    first: int
    last: int
    counted_from: int
    counted_to: int | None  # None: to the end

    def inner(self, stride: int) -> slice:
        """The features that count, of a layer with this stride."""
        last = None if self.counted_to is None else (self.counted_to - self.first) // stride
        return slice((self.counted_from - self.first) // stride, last)


def _blocks(length: int) -> list[_Block]:
    """The blocks of one side: what counts of them joins, and begins at multiples of 16."""
    if length <= BLOCK_SIDE + 2 * BLOCK_MARGIN:
        return [_Block(0, length, 0, None)]
    starts = range(0, length - BLOCK_MARGIN, BLOCK_SIDE)
    return [
        _Block(
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
