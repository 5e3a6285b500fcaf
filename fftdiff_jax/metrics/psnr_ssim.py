"""PSNR and SSIM under the conventions of the deraining papers.

Tables of deraining results differ by 1 to 2 dB for conventions alone. The ones kept here, which
are those of the MATLAB script published with PReNet, MPRNet and Restormer:

- A restored photo is rounded to 8 bits before it is scored: it is scored as it would be saved.
- Y is the luma of BT.601 as MATLAB's rgb2ycbcr returns it for uint8 photos: in 16..235 and
  rounded to whole numbers. Its peak is nevertheless taken as 255. A Y score lies 1 to 2 dB above
  the RGB score of the same photo; both are given, and named.
- SSIM is that of Wang et al. (2004), version 1.0: a Gaussian window of 11 x 11 pixels and std 1.5,
  K = (0.01, 0.03), means and variances weighted without a sample correction, no downsampling. It is
  averaged over the places where the whole window lies in the photo (MATLAB's 'valid'). On RGB, the
  three channels' values are averaged.
- Nothing is cropped and the clean photo is never resized or shifted.
- What is scored is one draw, or the mean of a stated number of draws; never the best of several.
- PSNR is averaged over photos in dB (not from the mean error), and stops at `LARGEST_PSNR`, so that
  one perfect photo cannot make a mean infinite.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import UInt8

from fftdiff_jax.errors import UserError

LARGEST_PSNR = 100.0  # in dB: what two identical photos score
WINDOW_SIZE = 11  # of SSIM, in pixels
STRIP_ROWS = 256  # rows that SSIM holds in float64 at a time, whatever the photo's size


def to_y(photo: UInt8[np.ndarray, "*b h w 3"]) -> UInt8[np.ndarray, "*b h w 1"]:
    """Y of BT.601 in 16..235 of 8-bit photos, rounded as MATLAB's rgb2ycbcr rounds for uint8.

    The weights 65.481, 128.553 and 24.966 are held in thousandths, so that no rounding but the
    last one happens, and halves go up.
    """
    red, green, blue = np.moveaxis(photo.astype(np.int32), -1, 0)
    thousandths = 65_481 * red + 128_553 * green + 24_966 * blue
    return (16 + (thousandths + 127_500) // 255_000).astype(np.uint8)[..., None]


def psnr(restored: UInt8[np.ndarray, "h w c"], clean: UInt8[np.ndarray, "h w c"]) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 255, the error averaged over all channels."""
    difference = restored.astype(np.int32) - clean
    squares = int(np.sum(difference * difference, dtype=np.int64))
    if squares == 0:
        return LARGEST_PSNR
    return min(LARGEST_PSNR, 10 * math.log10(255**2 * difference.size / squares))


def ssim(restored: UInt8[np.ndarray, "h w c"], clean: UInt8[np.ndarray, "h w c"]) -> float:
    """Structural similarity, at most 1, averaged over channels; scikit-image's, by strips of rows.

    Raises:
      UserError: the photos are smaller than the window.
    """
    from skimage.metrics import structural_similarity  # heavy; a run's first step needs none

    height, width, channels = clean.shape
    if min(height, width) < WINDOW_SIZE:
        raise UserError(
            f"SSIM needs sides of at least {WINDOW_SIZE} pixels, found {width} x {height}"
        )
    places = height - WINDOW_SIZE + 1  # rows at which the whole window lies in the photo
    total = 0.0
    for channel in range(channels):
        for top in range(0, places, STRIP_ROWS):
            rows = slice(top, top + STRIP_ROWS + WINDOW_SIZE - 1)
            mean = structural_similarity(
                restored[rows, :, channel],
                clean[rows, :, channel],
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
                data_range=255,
            )
            total += float(mean) * min(STRIP_ROWS, places - top)
    return total / (channels * places)
