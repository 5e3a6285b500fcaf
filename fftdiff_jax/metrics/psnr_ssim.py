"""PSNR and SSIM under the conventions of the deraining papers.

Tables of deraining results differ by 1 to 2 dB for conventions alone. The ones kept here, which
are those of the MATLAB script published with PReNet, MPRNet and Restormer:

- A restored photo is rounded to 8 bits before it is scored: it is scored as it would be saved.
- Y is the luma of BT.601 as MATLAB's rgb2ycbcr returns it for uint8 photos: in 16..235 and
  rounded to whole numbers. Its peak is nevertheless taken as 255. A Y score lies 1 to 2 dB above
  the RGB score of the same photo; both are given, and named.
- SSIM is that of Wang et al. (2004), version 1.0: a Gaussian window of 11 x 11 pixels and deviation
  1.5, K = (0.01, 0.03), moments weighted without a sample correction, no downsampling. It is
  averaged over the places where the whole window lies in the photo (MATLAB's 'valid'). On RGB, the
  three channels' values are averaged.
- Nothing is cropped and the clean photo is never resized or shifted.
- What is scored is one draw, or the mean of a stated number of draws; never the best of several.
- PSNR is averaged over photos in dB (not from the mean error), and stops at `LARGEST_PSNR`, so that
  one perfect photo cannot make a mean infinite.

`psnr` and `ssim` are for batches inside compiled functions. `score_photos`
scores one pair of photos as saved, in float64, without compiling: on two CPU cores 512x384 pixels
take it 0.05 s, the compiled batch 0.14 s after 1 s of compilation for each size in a test set.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from fftdiff_jax.errors import UserError

LARGEST_PSNR = 100.0  # in dB: what two identical photos score
WINDOW_SIZE, WINDOW_DEVIATION = 11, 1.5  # of SSIM, in pixels
STRIP_ROWS = 256  # rows that SSIM holds in float64 at a time, whatever the photo's size

_Plane = TypeVar("_Plane", np.ndarray, jax.Array)


def psnr(
    restored: Float[Array, "*b h w c"], clean: Float[Array, "*b h w c"], data_range: float = 1.0
) -> Float[Array, "*b"]:
    """Peak signal-to-noise ratio of each photo in dB, the error averaged over all its channels.

    `data_range` is the peak value: 1 for photos in [0, 1], 255 for 8-bit values.
    """
    error = jnp.mean(jnp.square(restored - clean), axis=(-3, -2, -1)) / data_range**2
    return -10 * jnp.log10(jnp.maximum(error, 10 ** (-LARGEST_PSNR / 10)))


def ssim(
    restored: Float[Array, "*b h w c"], clean: Float[Array, "*b h w c"], data_range: float = 1.0
) -> Float[Array, "*b"]:
    """Structural similarity of each photo (Wang et al. 2004), averaged over its channels.

    Rows and columns must be at least `WINDOW_SIZE`. `data_range` as for `psnr`.

    Raises:
      UserError: the photos are smaller than the window.
    """
    _require_window(restored.shape[-3], restored.shape[-2])

    def blur(plane: jax.Array) -> jax.Array:
        for axis in (-3, -2):
            size = plane.shape[axis] - WINDOW_SIZE + 1
            shifts = (
                weight * jax.lax.slice_in_dim(plane, i, i + size, axis=axis)
                for i, weight in enumerate(_window())
            )
            plane = functools.reduce(jnp.add, shifts)
        return plane

    return jnp.mean(_ssim_map(restored, clean, data_range, blur), axis=(-3, -2, -1))


def luma(photo: Float[Array, "*b h w 3"]) -> Float[Array, "*b h w 1"]:
    """Y of BT.601 in 16/255 .. 235/255, unrounded, of photos in [0, 1] (rgb2ycbcr of a double)."""
    weights = jnp.array([65.481, 128.553, 24.966], photo.dtype) / 255
    return jnp.sum(photo * weights, axis=-1, keepdims=True) + 16 / 255


def to_y(photo: UInt8[np.ndarray, "*b h w 3"]) -> UInt8[np.ndarray, "*b h w 1"]:
    """Y of BT.601 in 16..235 of 8-bit photos, rounded as MATLAB's rgb2ycbcr rounds for uint8.

    The weights 65.481, 128.553 and 24.966 are held in thousandths, so that no rounding but the
    last one happens, and halves go up.
    """
    red, green, blue = np.moveaxis(photo.astype(np.int32), -1, 0)
    thousandths = 65_481 * red + 128_553 * green + 24_966 * blue
    return (16 + (thousandths + 127_500) // 255_000).astype(np.uint8)[..., None]


def score_photos(
    restored: UInt8[np.ndarray, "h w 3"], clean: UInt8[np.ndarray, "h w 3"]
) -> dict[str, float]:
    """Scores one photo as the papers do: psnr_y, ssim_y, psnr_rgb and ssim_rgb (PSNR in dB).

    Raises:
      UserError: the sizes differ, or are smaller than SSIM's window.
    """
    if restored.dtype != np.uint8 or clean.dtype != np.uint8:
        raise TypeError(f"photos are scored in 8 bits, not {restored.dtype} and {clean.dtype}")
    if restored.shape != clean.shape:
        raise UserError(
            f"photos of {_size(restored)} and {_size(clean)} cannot be compared; "
            "the clean photo is never resized"
        )
    _require_window(*clean.shape[:2])
    scores = {}
    for name, a, b in (("y", to_y(restored), to_y(clean)), ("rgb", restored, clean)):
        scores[f"psnr_{name}"] = _psnr_8bit(a, b)
        scores[f"ssim_{name}"] = _ssim_8bit(a, b)
    return scores


def score_batch(
    restored: Float[Array, "b h w 3"], clean: Float[Array, "b h w 3"]
) -> dict[str, Float[Array, " b"]]:
    """The scores of `score_photos` for equally large photos in [0, 1], to compile and batch.

    Photos and their Y are rounded to 8 bits first, as they would be saved. Float32 moves a value
    of Y that lies within 1e-5 of a half; the scores agree with `score_photos` to 1e-3 dB and 1e-5.
    """
    a, b = (jnp.round(jnp.clip(photo, 0, 1) * 255) / 255 for photo in (restored, clean))
    y_a, y_b = (jnp.floor(luma(photo) * 255 + 0.5) / 255 for photo in (a, b))
    return {
        "psnr_y": psnr(y_a, y_b),
        "ssim_y": ssim(y_a, y_b),
        "psnr_rgb": psnr(a, b),
        "ssim_rgb": ssim(a, b),
    }


def _window() -> list[float]:
    """SSIM's window along one axis (it is separable), with the sum 1."""
    offsets = np.arange(WINDOW_SIZE) - WINDOW_SIZE // 2
    weights = np.exp(-0.5 * (offsets / WINDOW_DEVIATION) ** 2)
    return (weights / weights.sum()).tolist()


def _ssim_map(a: _Plane, b: _Plane, data_range: float, blur: Callable[[_Plane], _Plane]) -> _Plane:
    """Wang et al. (2004), equation 13, at every place where `blur` has a whole window."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    # Variances are the same about any origin; near the middle of the range float32 loses least.
    middle = data_range / 2
    a, b = a - middle, b - middle
    mean_a, mean_b = blur(a), blur(b)
    variances = blur(a * a + b * b) - mean_a * mean_a - mean_b * mean_b
    covariance = blur(a * b) - mean_a * mean_b
    mean_a, mean_b = mean_a + middle, mean_b + middle
    structure = (2 * covariance + c2) / (variances + c2)
    return (2 * mean_a * mean_b + c1) / (mean_a * mean_a + mean_b * mean_b + c1) * structure


def _psnr_8bit(a: UInt8[np.ndarray, "h w c"], b: UInt8[np.ndarray, "h w c"]) -> float:
    difference = a.astype(np.int32) - b
    squares = int(np.sum(difference * difference, dtype=np.int64))
    if squares == 0:
        return LARGEST_PSNR
    return min(LARGEST_PSNR, 10 * math.log10(255**2 * difference.size / squares))


def _ssim_8bit(a: UInt8[np.ndarray, "h w c"], b: UInt8[np.ndarray, "h w c"]) -> float:
    """SSIM in float64, by channels and strips of rows: bounded memory, and it stays in cache."""
    from scipy import ndimage  # heavy to import, and a run's first step does not need it

    weights, margin = _window(), WINDOW_SIZE // 2

    def blur(plane: np.ndarray) -> np.ndarray:
        for axis in (0, 1):
            plane = ndimage.correlate1d(plane, weights, axis=axis)
        return plane[margin:-margin, margin:-margin]

    height, width, channels = a.shape
    total = 0.0
    for channel in range(channels):
        for top in range(0, height - 2 * margin, STRIP_ROWS):
            rows = slice(top, top + STRIP_ROWS + 2 * margin)
            strip_a = a[rows, :, channel].astype(np.float64)
            strip_b = b[rows, :, channel].astype(np.float64)
            total += float(_ssim_map(strip_a, strip_b, 255.0, blur).sum())
    return total / (channels * (height - 2 * margin) * (width - 2 * margin))


def _require_window(height: int, width: int) -> None:
    if min(height, width) < WINDOW_SIZE:
        raise UserError(
            f"SSIM needs sides of at least {WINDOW_SIZE} pixels, found {width}x{height}"
        )


def _size(photo: np.ndarray) -> str:
    return f"{photo.shape[1]}x{photo.shape[0]}"
