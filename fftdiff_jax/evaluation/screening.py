"""Quick scores of one model in several ways of sampling, on centre crops of val photos.

Screening compares recipes: every model sees the same crops and the same noise. One draw is scored
as it comes, the mean of the draws beside it, and the draws' spread against the error of their mean,
over all frequencies and in bands.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int, PyTree, UInt8

from fftdiff_jax.config import Config, SamplingConfig
from fftdiff_jax.data.manifest import Manifest
from fftdiff_jax.data.pairs import load_pair
from fftdiff_jax.errors import UserError
from fftdiff_jax.method import spectra
from fftdiff_jax.method.method import make_method
from fftdiff_jax.metrics import draws as drawing
from fftdiff_jax.metrics import realism
from fftdiff_jax.metrics.power import spectral_power
from fftdiff_jax.metrics.scores import SCORES, mean_scores
from fftdiff_jax.pixels import centre_crop, to_uint8
from fftdiff_jax.restore.restorer import Restorer
from fftdiff_jax.restore.tile_programs import make_restored

BANDS = 8  # of equal width, from 0 to half a cycle a pixel
AT_ONCE = 4  # crops in a batch


@dataclasses.dataclass(frozen=True)
class Crops:
    """Centre crops of pairs, all of one size, and the whole photos that they are cut from."""

    clean: UInt8[np.ndarray, "n s s 3"]
    rainy: UInt8[np.ndarray, "n s s 3"]
    whole: tuple[UInt8[np.ndarray, "h w 3"], ...]  # rainy


def load_crops(manifest: Manifest, side: int = 192, limit: int = 0) -> Crops:
    """Centre crops of the manifest's pairs that are large enough, evenly picked down to `limit`.

    Raises:
      UserError: no pair is large enough.
    """
    every = max(1, len(manifest) // limit) if limit else 1
    pairs = [load_pair(manifest, row) for row in manifest.rows[::every]]
    pairs = [pair for pair in pairs if min(pair.clean.shape[:2]) >= side][: limit or None]
    if not pairs:
        raise UserError(f"{manifest.path}: no pair is as large as {side} x {side} pixels")
    return Crops(
        np.stack([centre_crop(pair.clean, side) for pair in pairs]),
        np.stack([centre_crop(pair.rainy, side) for pair in pairs]),
        tuple(pair.rainy for pair in pairs),
    )


def screen(
    params: PyTree, config: Config, crops: Crops, sampling_config: SamplingConfig
) -> dict[str, Any]:
    """Scores of the mean of the draws, of one draw, and of the spread; means over the crops.

    Returns:
      every score of `SCORES` and of `realism.DISTANCES` of the mean of the draws; with several
      draws also the same names with the prefix draw_ for the first draw alone, `spread_over_error`,
      `spread_over_error_by_band` (from low to high frequency) and `spread_error_correlation`, over
      pixels. Spread is the root of the draws' mean variance, error the root mean square of
      mean - clean, corrected for the number of draws: 1 is calibrated. Without draws also
      `whole_psnr_y`: of the same crops, cut from whole photos that were restored.
    """
    sampler = jax.jit(make_restored(make_method(config), sampling_config))
    count = max(sampling_config.draws, 1)
    draws = np.stack([_draw(sampler, params, crops.rainy, number) for number in range(count)])
    scores = score_draws(draws, crops.clean)
    if sampling_config.draws == 0:
        restorer = Restorer(params, dataclasses.replace(config, sampling=sampling_config))
        cut = [centre_crop(restorer(photo), crops.clean.shape[1]) for photo in crops.whole]
        psnr_y = mean_scores(np.stack(cut), crops.clean, [SCORES["psnr_y"]])
        scores["whole_psnr_y"] = psnr_y["psnr_y"]
    return scores


def score_draws(
    draws: Float[np.ndarray, "d n s s 3"], clean: UInt8[np.ndarray, "n s s 3"]
) -> dict[str, Any]:
    """What `screen` says of draws of crops, in [0, 1], however they were made."""
    mean = draws.mean(axis=0)
    scores: dict[str, Any] = score_crops(mean, clean)
    features = [realism.features(photo) for photo in clean]
    scores |= realism.compare([realism.features(photo) for photo in to_uint8(mean)], features)
    if len(draws) > 1:
        alone = realism.compare([realism.features(photo) for photo in to_uint8(draws[0])], features)
        scores |= {f"draw_{k}": v for k, v in alone.items()}
        scores |= {f"draw_{k}": v for k, v in score_crops(draws[0], clean).items()}
        scores |= spread_against_error(draws, clean.astype(np.float32) / 255)
    return scores


def score_crops(
    photos: Float[np.ndarray, "n s s 3"], clean: UInt8[np.ndarray, "n s s 3"]
) -> dict[str, float]:
    """Means over crops of every score of `SCORES`, the photos in [0, 1] rounded to 8 bits."""
    return mean_scores(to_uint8(photos), clean, tuple(SCORES.values()))


def spread_against_error(
    draws: Float[np.ndarray, "d n s s 3"], clean: Float[np.ndarray, "n s s 3"]
) -> dict[str, Any]:
    """See `screen`. What the mean of the draws varies by itself is taken off its error."""
    count, mean = len(draws), draws.mean(axis=0)
    square = np.square(mean - clean)
    spread_power = np.sum([_power(draw - mean) for draw in draws], axis=0) / (count - 1)
    error_power = np.maximum(_power(mean - clean) - spread_power / count, 1e-12)
    frequency = spectra.radial_frequency(*clean.shape[1:3])[..., 0]
    band = np.floor(frequency / 0.5 * BANDS)
    ratios = [
        float(np.sqrt(spread_power[band == i].mean() / error_power[band == i].mean()))
        for i in range(BANDS)
    ]
    roots = (np.sqrt(x.mean(axis=-1)).ravel() for x in (drawing.variance(draws), square))
    return {
        "spread_over_error": float(np.sqrt(spread_power.mean() / error_power.mean())),
        "spread_over_error_by_band": ratios,
        "spread_error_correlation": float(np.corrcoef(*roots)[0, 1]),
    }


def _power(photos: Float[np.ndarray, "n s s 3"]) -> Float[np.ndarray, "s s"]:
    return spectral_power(photos).mean(axis=0)


def _draw(
    sampler: Any, params: PyTree, rainy: UInt8[np.ndarray, "n s s 3"], number: int
) -> Float[np.ndarray, "n s s 3"]:
    count = len(rainy)
    places = np.zeros((count, 3), np.int32)
    places[:, 0] = number * count + np.arange(count)  # each crop has noise of its own
    found = []
    for chosen in _batches(count):
        photos = rainy[chosen].astype(np.float32) / 255
        found.append(np.asarray(sampler(params, photos, places[chosen], jax.random.key(0))))
    return np.concatenate(found)[:count]


def _batches(count: int) -> Int[np.ndarray, "n b"]:
    """Indices in batches of one size; the last one repeats the last crop."""
    padded = np.minimum(np.arange(-(-count // AT_ONCE) * AT_ONCE), count - 1)
    return padded.reshape(-1, AT_ONCE)
