"""Seconds and memory that restoring a photo takes, and its share of the device's matrix rate."""

from __future__ import annotations

import statistics
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fftdiff_jax.commands.benchmarks import operations, timing
from fftdiff_jax.config import Config
from fftdiff_jax.method.method import make_method
from fftdiff_jax.restore import tile_programs, tiling
from fftdiff_jax.restore.restorer import Restorer


def measure_restoring(
    config: Config, *, height: int, width: int, steps: int, draws: int, repeats: int
) -> dict[str, Any]:
    """Restores a photo of that size with random weights, after one small photo as a warm-up.

    The restorer returns arrays of the host, so nothing is left running when its call ends. For the
    best photo the share of the matrix product is taken run by run, as for training.
    """
    restorer = Restorer(make_method(config).init(jax.random.key(0)), config)
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    small = np.ascontiguousarray(photo[:64, :64])
    first = timing.timed(lambda: restorer(small, steps=steps, draws=draws))
    before = timing.peak_rss_mb()
    best = draws == 0 and make_method(config).first is not None
    counted = best_photo_operations(config, height, width) if best else None
    product = timing.MatrixProduct(config.model.dtype) if best else None
    seconds: list[float] = []
    shares: list[float] = []
    while len(seconds) < repeats and sum(seconds) < timing.MOST_SECONDS:
        products = [timing.timed(product)] if product else []
        seconds.append(timing.timed(lambda: restorer(photo, steps=steps, draws=draws)))
        if product and counted:
            rate = product.rate(min(*products, timing.timed(product)))
            shares.append(counted / seconds[-1] / rate)
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
        "flops": counted,
        "share_of_matmul": statistics.median(shares) if shares else None,
        "tiled_pixels": tiled_pixels(config, height, width, draws) / (height * width),
    }


def best_photo_operations(config: Config, height: int, width: int) -> float:
    """Operations of the convolutions and products of all tiles' first estimates, all looks."""
    method = make_method(config)
    plan = _plan(config, height, width, draws=0)
    tile = jnp.zeros((1, plan.side, plan.side, 3))
    params = jax.eval_shape(method.init, jax.random.key(0))
    first = tile_programs.make_first(method, config.sampling)
    of_one = operations.count_products(jax.make_jaxpr(first)(params, tile))
    return len(plan.rows) * len(plan.columns) * of_one


def tiled_pixels(config: Config, height: int, width: int, draws: int = 0) -> int:
    """Pixels of all tiles, which overlap."""
    plan = _plan(config, height, width, draws)
    return len(plan.rows) * len(plan.columns) * plan.side**2


def _plan(config: Config, height: int, width: int, draws: int) -> tiling.Plan:
    overlap = tiling.overlap_of(draws)
    side = tiling.choose_side(height, width, overlap)
    return tiling.Plan(height, width, side, make_method(config).stride, overlap)
