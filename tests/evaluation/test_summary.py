"""From scored photos to a summary."""

import numpy as np
import pytest

from fftdiff_jax.evaluation.records import PhotoResult
from fftdiff_jax.evaluation.summary import summarise, summarise_realism
from fftdiff_jax.metrics import calibration, realism
from fftdiff_jax.metrics.scores import SCORES


def result(number, rng):
    clean, rainy = (rng.integers(0, 256, (12, 12, 3), np.uint8) for _ in range(2))
    scores = dict.fromkeys(SCORES, 20.0 + number)
    return PhotoResult(
        file=f"{number}.png",
        row=number,
        height=12,
        width=12,
        rainy=scores,
        restored={name: value + number % 3 for name, value in scores.items()},
        seconds=1.0,
        diagnostics=calibration.diagnose(rainy, rng.random((1, 12, 12, 3), np.float32), clean),
    )


@pytest.mark.parametrize(("count", "has"), [(2, False), (4, False), (5, True)])
def test_few_photos_have_no_interval(count, has, rng):
    """Two photos, drawn again and again, give an interval from the one to the other."""
    summary = summarise([result(i, rng) for i in range(count)], steps=1, draws=0)
    assert summary["num_images"] == count
    assert summary["gain"]["psnr_y"] == pytest.approx(np.mean([i % 3 for i in range(count)]))
    assert set(summary["intervals"]) == ({"rainy", "restored", "gain"} if has else set())


def test_few_photos_have_no_interval_of_realism(rng, monkeypatch):
    monkeypatch.setattr(realism, "RESAMPLES", 2)

    def features():
        places = rng.standard_normal((30, 3))
        return (realism.Features(30, places.sum(axis=0), places.T @ places, places),) * 2

    photos = [{name: features() for name in ("restored", "rainy", "clean")} for _ in range(5)]
    for count, has in ((2, False), (4, False), (5, True)):
        found = summarise_realism(photos[:count])["realism"]["restored"]
        assert ("intervals" in found) == has
