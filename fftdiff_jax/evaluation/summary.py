"""From scored photos to summary.json: means, how sure they are, and which photos to look at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from fftdiff_jax.evaluation.records import PhotoResult
from fftdiff_jax.metrics import calibration, realism
from fftdiff_jax.metrics.scores import SCORES

LEAST_PHOTOS = 5  # of an interval: fewer of them, drawn again and again, say nothing of others
RESAMPLES = 10_000  # of the bootstrap: its 95 % ends then move by about 1 % of the interval


def summarise(results: Sequence[PhotoResult], *, steps: int, draws: int) -> dict[str, Any]:
    """The means over photos, in the form of summary.json.

    Returns:
      num_images, steps, draws, seconds_per_image; rainy, restored and gain: the mean of each score
      (gain is restored - rainy; see `Score.better`); intervals: the 95 % bootstrap
      interval of each of these means, with photos as the sample, where there are `LEAST_PHOTOS`;
      calibration: see
      `calibration.calibrate`, where there was more than one draw.
    """
    names = [s for s in SCORES if not any(math.isnan(r.restored[s]) for r in results)]
    rainy = np.array([[r.rainy[s] for s in names] for r in results])
    restored = np.array([[r.restored[s] for s in names] for r in results])
    summary: dict[str, Any] = {
        "num_images": len(results),
        "steps": steps,
        "draws": draws,
        "seconds_per_image": round(float(np.mean([r.seconds for r in results])), 4),
    }
    intervals = {}
    for key, values in (("rainy", rainy), ("restored", restored), ("gain", restored - rainy)):
        summary[key] = _named(names, values.mean(axis=0))
        if len(results) >= LEAST_PHOTOS:
            intervals[key] = _named(names, bootstrap_interval(values))
    summary["intervals"] = intervals
    diagnostics = [result.diagnostics for result in results]
    if all(one.draws > 1 for one in diagnostics):
        summary["calibration"] = calibration.calibrate(diagnostics)
    return summary


def summarise_realism(
    photos: Sequence[Mapping[str, tuple[realism.Features, ...]]],
) -> dict[str, Any]:
    """How far the restored and the rainy photos, as sets, lie from the clean ones.

    Args:
      photos: features of each scene's "restored", "rainy" and "clean" photo.

    Returns:
      realism: "restored" and "rainy", each with the distances of `realism.DISTANCES` and, where
      there are `LEAST_PHOTOS`, "intervals" of 95 % for Frechet's.
    """
    clean = [photo["clean"] for photo in photos]
    found: dict[str, Any] = {}
    for name in ("rainy", "restored"):
        ours = [photo[name] for photo in photos]
        values: dict[str, Any] = {
            key: None if math.isnan(value) else round(value, 4)
            for key, value in realism.compare(ours, clean).items()
        }
        if len(photos) >= LEAST_PHOTOS:
            ends = realism.intervals(ours, clean)
            values["intervals"] = {key: np.round(pair, 4).tolist() for key, pair in ends.items()}
        found[name] = values
    return {"realism": found}


def bootstrap_interval(
    values: Float[np.ndarray, "n ..."], *, level: float = 0.95, seed: int = 0
) -> Float[np.ndarray, "... 2"]:
    """Percentile bootstrap interval (Efron 1979) of the mean over the first axis.

    Photos are drawn with replacement. Where several photos show one scene they are not independent,
    and the interval is somewhat too narrow.
    """
    rng = np.random.default_rng(seed)
    count = len(values)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) / count
    means = np.tensordot(weights, values, axes=1)
    ends = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return np.moveaxis(ends, 0, -1)


def choose_shown(results: Sequence[PhotoResult], count: int = 3) -> list[PhotoResult]:
    """`count` photos evenly spread by rank of gain: for 3, the worst, the median and the best."""
    ranked = sorted(results, key=lambda result: result.gain)
    places = np.linspace(0, len(ranked) - 1, min(count, len(ranked)))
    return [ranked[round(float(place))] for place in places]


def _named(names: Sequence[str], values: np.ndarray) -> dict[str, Any]:
    return {name: np.round(value, 6).tolist() for name, value in zip(names, values, strict=True)}
