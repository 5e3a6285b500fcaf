"""How a CPU's cores are shared: one device a core, where the recipe allows it.

XLA runs a small convolution on one core and leaves the others idle; two devices of a core each run
two convolutions at once. What a step computes does not change, but for the order of sums.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from fftdiff_jax.config import Config
from fftdiff_jax.training.step import noised_examples


def choose_devices(recipes: Sequence[Config], cores: int) -> int:
    """The most CPU devices, at most `cores`, on which each recipe's batch means the same.

    That is, each device gets as many examples as the next, and trains as many at a random time.
    """

    def fits(config: Config, devices: int) -> bool:
        batch = config.training.batch_size
        if batch % devices:
            return False
        each = noised_examples(config, batch // devices).size
        return devices * each == noised_examples(config, batch).size

    counts = range(1, max(cores, 1) + 1)
    return max(n for n in counts if n == 1 or all(fits(config, n) for config in recipes))


def count_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
