"""Do the draws show how wrong they are? Interval coverage, spread against error, by frequency too.

With D draws of a pixel, their mean m and the variance s^2 of a draw, the truth x of a calibrated
model is one more draw, and where draws are Gaussian

    (x - m) / sqrt(s^2 (1 + 1/D) + u^2)   follows Student's t with D - 1 degrees of freedom

(the prediction interval of, for example, Hahn and Meeker, Statistical Intervals, section 4.2), with
u the std of rounding the truth to 8 bits. The central q-interval is m plus or minus t_q times that
root. It is used here in place of quantiles of the draws since 4 or 8 draws have no 95 % quantile.
*Calibration* multiplies the root by one scalar, chosen so that the 80 % interval covers 80 % of the
truth.

All that is needed of a photo are histograms; they are averaged over photos, each photo weighing the
same, as in the mean of a score.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from scipy import fft, special

from fftdiff_jax.metrics.draws import variance

LEVELS = (0.5, 0.8, 0.95)  # central intervals that are reported
FITTED_LEVEL = 0.8  # the one that the scalar makes right
FOLDS = 5  # the scalar that a photo is judged with is fitted without its fold
ROUNDING = 1 / 255 / math.sqrt(12)  # std of rounding to 8 bits
RATIOS = np.geomspace(1e-3, 1e5, 321)  # edges: 40 bins a decade of |x - m| over the root
SPREADS = np.geomspace(1 / 2048, 1 / 2, 31)  # edges: three bins an octave of the root
FREQUENCIES = np.linspace(0, 0.5, 33)  # edges, in cycles a pixel


@dataclasses.dataclass(frozen=True)
class Diagnostics:
    """What is measured of one photo, or of several on average, beside its scores.

    Powers are mean squares of the orthonormal spectrum's coefficients in rings of `FREQUENCIES`,
    the constant term left out, NaN for a ring without coefficients. What takes several draws is
    empty where there was one.

    Attributes:
      draws: draws of each photo.
      rainy_power, restored_power: of rainy - clean and restored - clean.
      spread_power: of the draws about their mean: how wrong the model thinks one draw is.
      ratio_share: share of pixels whose ratio lies in each bin of `RATIOS` (ends included).
      spread_share: share of pixels whose root lies in each bin of `SPREADS`.
      error_square: squared error of the mean in each bin of `SPREADS`, as a sum over its pixels
        divided by all pixels.
    """

    draws: int
    rainy_power: Float[np.ndarray, " f"]
    restored_power: Float[np.ndarray, " f"]
    spread_power: Float[np.ndarray, " f"]
    ratio_share: Float[np.ndarray, " r"]
    spread_share: Float[np.ndarray, " s"]
    error_square: Float[np.ndarray, " s"]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists for JSON; NaN becomes None."""
        values: dict[str, Any] = {"draws": self.draws}
        for name in _ARRAYS:
            values[name] = [
                None if math.isnan(x) else float(f"{x:.6g}") for x in getattr(self, name)
            ]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Diagnostics:
        """Inverse of `to_dict`."""
        arrays = {
            name: np.array([math.nan if x is None else x for x in values[name]], float)
            for name in _ARRAYS
        }
        return cls(draws=int(values["draws"]), **arrays)


_ARRAYS = tuple(field.name for field in dataclasses.fields(Diagnostics) if field.name != "draws")


def diagnose(
    rainy: UInt8[np.ndarray, "h w 3"],
    draws: Float[np.ndarray, "n h w 3"],
    clean: UInt8[np.ndarray, "h w 3"],
) -> Diagnostics:
    """Measures one photo; `draws` are in [0, 1]."""
    truth = clean.astype(np.float32) / 255
    mean = draws.mean(axis=0, dtype=np.float32)
    error = np.abs(mean - truth)
    count = len(draws)
    nothing = np.zeros(0)
    ratio_share = spread_share = error_square = spread_power = nothing
    if count > 1:
        root = predictive_std(draws)
        ratio_share = _histogram(error / root, RATIOS)
        spread_share = _histogram(root, SPREADS)
        error_square = _histogram(root, SPREADS, error * error)
        power = np.sum([power_by_frequency(draw - mean) for draw in draws], axis=0)
        spread_power = power / (count - 1)
    return Diagnostics(
        draws=count,
        rainy_power=power_by_frequency(rainy.astype(np.float32) / 255 - truth),
        restored_power=power_by_frequency(mean - truth),
        spread_power=spread_power,
        ratio_share=ratio_share,
        spread_share=spread_share,
        error_square=error_square,
    )


def predictive_std(draws: Float[np.ndarray, "n ..."]) -> Float[np.ndarray, "*d"]:
    """The root above: the std of a further draw about the mean of these, rounding included."""
    return np.sqrt(variance(draws) * (1 + 1 / len(draws)) + ROUNDING**2)


def interval_multiple(level: float, draws: int) -> float:
    """t_q: how many std the central interval that holds `level` reaches to each side."""
    return float(special.stdtrit(draws - 1, (1 + level) / 2))


def average(parts: Sequence[Diagnostics]) -> Diagnostics:
    """The mean over photos, each weighing the same; rings without coefficients are passed over."""
    arrays = {}
    for name in _ARRAYS:
        values = np.stack([getattr(part, name) for part in parts])
        present = np.sum(~np.isnan(values), axis=0)
        total = np.nansum(values, axis=0)
        arrays[name] = np.where(present > 0, total / np.maximum(present, 1), np.nan)
    return Diagnostics(draws=parts[0].draws, **arrays)


def coverage(diagnostics: Diagnostics, level: float, scalar: float = 1.0) -> float:
    """Share of the truth inside the central `level` interval, its width multiplied by `scalar`."""
    reach = interval_multiple(level, diagnostics.draws) * scalar
    below = np.concatenate([[0.0], np.cumsum(diagnostics.ratio_share)])
    return float(np.interp(math.log(reach), np.log(RATIOS), below))


def fit_scalar(diagnostics: Diagnostics, level: float = FITTED_LEVEL) -> float:
    """The factor on the intervals' width that makes `coverage` at `level` equal to it."""
    below = np.concatenate([[0.0], np.cumsum(diagnostics.ratio_share)])
    rising = np.concatenate([[True], np.diff(below) > 0])
    needed = math.exp(np.interp(level, below[rising], np.log(RATIOS)[rising]))
    return needed / interval_multiple(level, diagnostics.draws)


def calibrate(parts: Sequence[Diagnostics]) -> dict[str, Any]:
    """Coverage of the `LEVELS` over photos, before and after calibration.

    Returns:
      draws; scalar, fitted on all photos (for use on others); coverage, by level in per cent;
      calibrated_coverage, each photo with a scalar fitted on the other folds only (of one photo
      there are none: then it is left out).
    """
    whole = average(parts)
    result: dict[str, Any] = {
        "draws": whole.draws,
        "scalar": fit_scalar(whole),
        "coverage": {_percent(level): coverage(whole, level) for level in LEVELS},
    }
    folds = min(FOLDS, len(parts))
    if folds > 1:
        scalars = []
        for i in range(len(parts)):
            others = [part for j, part in enumerate(parts) if j % folds != i % folds]
            scalars.append(fit_scalar(average(others)))
        result["calibrated_coverage"] = {
            _percent(level): float(
                np.mean([coverage(p, level, s) for p, s in zip(parts, scalars, strict=True)])
            )
            for level in LEVELS
        }
    return result


def power_by_frequency(difference: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, " f"]:
    """Mean square of the orthonormal spectrum in the rings of `FREQUENCIES`; see `Diagnostics`."""
    height, width = difference.shape[:2]
    spectrum = fft.rfft2(difference.astype(np.float32), axes=(0, 1), norm="ortho")
    power = np.square(np.abs(spectrum)).mean(axis=-1)
    frequency = np.hypot(fft.fftfreq(height)[:, None], fft.rfftfreq(width)[None, :])
    # Half of a real photo's spectrum is left out, being the mirror image of the other half. The
    # first column is its own mirror image (so is the last of an even width, beyond every ring).
    weight = np.full(power.shape, 2.0)
    weight[:, 0] = 1
    weight[0, 0] = 0
    rings = np.digitize(frequency, FREQUENCIES) - 1
    inside = rings < len(FREQUENCIES) - 1
    size = len(FREQUENCIES) - 1
    counts = np.bincount(rings[inside], weight[inside], size)
    sums = np.bincount(rings[inside], (weight * power)[inside], size)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _histogram(
    values: np.ndarray, edges: np.ndarray, weights: np.ndarray | None = None
) -> Float[np.ndarray, " n"]:
    """Sums of `weights` (or counts) in each bin over the number of values; the ends are open."""
    bins = np.searchsorted(edges[1:-1], values.ravel(), side="right")
    sums = np.bincount(bins, None if weights is None else weights.ravel(), len(edges) - 1)
    return sums / values.size


def _percent(level: float) -> str:
    return f"{100 * level:g}"
