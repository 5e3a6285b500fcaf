"""How many devices a CPU's cores become: one device a core, where the recipe allows it.

XLA runs a small convolution on one core and leaves the others idle; two devices of a core each run
two convolutions at once. What a step computes does not change, but for the order of sums.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from fftdiff_jax.config import Config


def choose_devices(recipes: Sequence[Config], cores: int) -> int:
    """The most CPU devices, at most `cores`, over which the batch of each recipe can be divided."""
    counts = range(1, max(cores, 1) + 1)
    return max(n for n in counts if all(c.training.batch_size % n == 0 for c in recipes))


def count_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
