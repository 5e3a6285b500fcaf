"""The one table of scores: a score that is added to `SCORES` stands in every table and report."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8

from fftdiff_jax.metrics import lpips, psnr_ssim
from fftdiff_jax.pixels import require_equal_sizes

_Photo = UInt8[np.ndarray, "h w 3"]


@dataclasses.dataclass(frozen=True)
class Score:
    """How one number that compares a photo with the truth is measured, named and written.

    Attributes:
      key: its name in files.
      title: its name in tables.
      better: which values are better.
      digits: decimals to write.
      function: measures (restored, clean), photos of equal size; see psnr_ssim.py.
      about: what it measures, in a few words, for a tooltip.
      unit: of the value, or "" where it has none.
      least_side: pixels; the score of a smaller photo is NaN.
      network: LPIPS's; the score is measured only where this network is asked for.
    """

    key: str
    title: str
    better: Literal["higher", "lower"]
    digits: int
    function: Callable[[_Photo, _Photo], float]
    about: str
    unit: str = ""
    least_side: int = 1
    network: str = ""

    def text(self, value: float, *, sign: bool = False) -> str:
        """The value as tables show it, without its unit."""
        return f"{value:{'+' if sign else ''}.{self.digits}f}"


def tone(restored: UInt8[np.ndarray, "h w 3"], clean: UInt8[np.ndarray, "h w 3"]) -> float:
    """By how many grey levels the means of R, G and B are off, averaged over the three."""
    return float(np.abs(_tone_error(restored, clean)).mean())


def psnr_y_toned(restored: UInt8[np.ndarray, "h w 3"], clean: UInt8[np.ndarray, "h w 3"]) -> float:
    """PSNR on Y, in dB, of the photo with each channel shifted to its true mean, in 8 bits again.

    Where the shift leaves 0..255 it is cut off there.
    """
    shifted = restored - _tone_error(restored, clean)
    toned = np.round(np.clip(shifted, 0, 255)).astype(np.uint8)
    return psnr_ssim.psnr(psnr_ssim.to_y(toned), psnr_ssim.to_y(clean))


def _psnr_y(restored: _Photo, clean: _Photo) -> float:
    return psnr_ssim.psnr(psnr_ssim.to_y(restored), psnr_ssim.to_y(clean))


def _ssim_y(restored: _Photo, clean: _Photo) -> float:
    return psnr_ssim.ssim(psnr_ssim.to_y(restored), psnr_ssim.to_y(clean))


def _lpips(key: str, title: str, network: str, name: str) -> Score:
    measure = functools.partial(lpips.lpips_photo, net=network)
    about, least = f"LPIPS 0.1 with {name}", lpips.LEAST_PERCEPTUAL_SIDE
    return Score(key, title, "lower", 4, measure, about, least_side=least, network=network)


_TABLE = (
    # In the order of interest: tables are wider than most windows.
    Score("psnr_y", "PSNR Y", "higher", 2, _psnr_y, "PSNR of the luma", "dB"),
    Score("ssim_y", "SSIM Y", "higher", 4, _ssim_y, "SSIM of the luma"),
    _lpips("lpips", "LPIPS", "alexnet", "AlexNet"),
    _lpips("lpips_vgg", "LPIPS VGG", "vgg16", "VGG16"),
    Score("tone", "tone", "lower", 2, tone, "error of the means of R, G, B in grey levels"),
    Score(
        "psnr_y_toned", "PSNR Y toned", "higher", 2, psnr_y_toned, "PSNR Y at the true tone", "dB"
    ),
    Score("psnr_rgb", "PSNR RGB", "higher", 2, psnr_ssim.psnr, "PSNR of R, G and B", "dB"),
    Score("ssim_rgb", "SSIM RGB", "higher", 4, psnr_ssim.ssim, "mean SSIM of R, G and B"),
)
SCORES = {score.key: score for score in _TABLE}


def measured(networks: Sequence[str] = ()) -> tuple[Score, ...]:
    """All scores but those by a network of LPIPS that is not among `networks`."""
    return tuple(s for s in SCORES.values() if not s.network or s.network in networks)


def score_photos(
    restored: UInt8[np.ndarray, "h w 3"],
    clean: UInt8[np.ndarray, "h w 3"],
    scores: Sequence[Score] = measured(),
) -> dict[str, float]:
    """Scores one photo, as it is saved; returns values by the keys of `scores`.

    Raises:
      UserError: the sizes differ, or are smaller than SSIM's window where that is among them.
      TypeError: a photo is not of 8 bits.
    """
    if restored.dtype != np.uint8 or clean.dtype != np.uint8:
        raise TypeError(f"photos are scored in 8 bits, not {restored.dtype} and {clean.dtype}")
    require_equal_sizes(clean.shape, restored.shape, ("the clean photo", "the restored one"))
    side = min(clean.shape[:2])
    return {
        score.key: score.function(restored, clean) if side >= score.least_side else math.nan
        for score in scores
    }


def mean_scores(
    restored: UInt8[np.ndarray, "n h w 3"],
    clean: UInt8[np.ndarray, "n h w 3"],
    scores: Sequence[Score] = measured(),
) -> dict[str, float]:
    """The means of `score_photos` over photos; NaN where one photo has no value.

    Raises:
      UserError: as `score_photos`.
    """
    rows = [score_photos(a, b, scores) for a, b in zip(restored, clean, strict=True)]
    return {s.key: float(np.mean([row[s.key] for row in rows])) for s in scores}


def _tone_error(restored: _Photo, clean: _Photo) -> Float[np.ndarray, " 3"]:
    return restored.mean(axis=(0, 1)) - clean.mean(axis=(0, 1))
