"""Clocks, memory and the limit that everything is measured against: a large matrix product."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

# Large enough to reach the device's rate, small enough to take well below a second.
MATRIX_SIDE = {"cpu": 2048}
MATRIX_SIDE_ELSEWHERE = 8192
PRODUCTS_A_RUN = {"cpu": 1}
PRODUCTS_A_RUN_ELSEWHERE = 20

MOST_SECONDS = 60.0  # of repeated runs: no further one begins


def timed(run: Callable[[], Any]) -> float:
    """Seconds that `run` takes, all work that its result waits for included."""
    start = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - start


def spread(seconds: list[float]) -> dict[str, Any]:
    """Median, extremes and number of repeated runs."""
    return {
        "median": statistics.median(seconds),
        "least": min(seconds),
        "most": max(seconds),
        "runs": len(seconds),
    }


class MatrixProduct:
    """Square matrix products, one on each local device; `rate` is in operations a second."""

    def __init__(self, dtype: str) -> None:
        """Compiles it and runs it once."""
        backend = jax.default_backend()
        self.dtype = dtype
        self.side = MATRIX_SIDE.get(backend, MATRIX_SIDE_ELSEWHERE)
        self._count = PRODUCTS_A_RUN.get(backend, PRODUCTS_A_RUN_ELSEWHERE)
        # Scaled so that a chain of products neither grows nor dies out.
        matrix = jax.random.normal(jax.random.key(0), (self.side, self.side), jnp.dtype(dtype))
        self._devices = jax.local_device_count()
        self._multiply = jax.pmap(
            lambda a: jax.lax.fori_loop(0, self._count, lambda _, x: x @ a, a)
        )
        # Each device's own from the start: bringing them there is not timed.
        everywhere = jax.pmap(lambda _: matrix / self.side**0.5)(jnp.zeros(self._devices))
        self._matrix = jax.block_until_ready(everywhere)
        timed(self)

    def __call__(self) -> jax.Array:
        """Multiplies; the result is not awaited."""
        return self._multiply(self._matrix)

    def rate(self, seconds: float) -> float:
        """Floating-point operations a second of one run, of all devices together."""
        return 2.0 * self.side**3 * self._count * self._devices / seconds


def peak_rss_mb() -> float:
    """The most memory (10^6 bytes) that this process has held."""
    try:
        # getrusage counts the parent's memory at the fork too; this does not.
        with open("/proc/self/status", encoding="ascii") as file:
            (line,) = (line for line in file if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    except (OSError, ValueError):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def peak_device_mb() -> float | None:
    """The most memory (10^6 bytes) in use on the first device, where the device counts it."""
    counted = jax.local_devices()[0].memory_stats() or {}
    return counted["peak_bytes_in_use"] / 1e6 if "peak_bytes_in_use" in counted else None


def device() -> str:
    """The devices in words."""
    devices = jax.local_devices()
    if devices[0].platform == "cpu":
        return f"{_processor()}, {_cores()} cores"
    return f"{len(devices)} x {devices[0].device_kind}"


def versions() -> dict[str, str]:
    """Versions of everything that a timing depends on."""
    packages = ("jax", "jaxlib", "flax", "grain", "numpy", "tensorflow-datasets", "fftdiff-jax")
    found = {"python": platform.python_version(), "system": platform.platform()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [
                line.split(":", 1)[1].strip() for line in file if line.startswith("model name")
            ]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
