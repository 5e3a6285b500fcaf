"""Seconds and memory that restoring a photo takes."""

from __future__ import annotations

import statistics
from typing import Any

import jax
import numpy as np

from fftdiff_jax.commands.benchmarks import timing
from fftdiff_jax.config import Config
from fftdiff_jax.method.method import make_method
from fftdiff_jax.restore.restorer import Restorer


def measure_restoring(
    config: Config, *, height: int, width: int, steps: int, draws: int, repeats: int
) -> dict[str, Any]:
    """Restores a photo of that size with random weights, after one small photo as a warm-up.

    The restorer returns arrays of the host, so nothing is left running when its call ends.
    """
    restorer = Restorer(make_method(config).init(jax.random.key(0)), config)
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    small = np.ascontiguousarray(photo[:64, :64])
    first = timing.timed(lambda: restorer(small, steps=steps, draws=draws))
    before = timing.peak_rss_mb()
    seconds = timing.repeat(lambda: restorer(photo, steps=steps, draws=draws), repeats)
    return {
        "height": height,
        "width": width,
        "steps": steps,
        "draws": draws,
        "seconds": statistics.median(seconds),
        "peak_rss_mb": timing.peak_rss_mb(),
        "megapixels": height * width / 1e6,
        "first_call_seconds": first,
        "rss_before_mb": before,
        "peak_device_mb": timing.peak_device_mb(),
        "spread": timing.spread(seconds),
    }
