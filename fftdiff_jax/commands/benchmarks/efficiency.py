"""The simulated step on many GPUs: which share of it is communication, by the batch of a GPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from fftdiff_jax.commands.benchmarks.ring import LINKS, Ring, efficiency, smallest_batch

SHARES = (0.05, 0.1, 0.3, 0.6)
NETWORKS = ("infiniband", "ethernet_25", "ethernet_10")


@dataclasses.dataclass(frozen=True)
class Job:
    """What each GPU does in a step, and with which part of its card's rate."""

    operations: float  # floating-point operations an example, forward and backward
    gradients: float  # bytes that are summed
    rate: float  # operations a second of the card, by its data sheet
    share: float  # of this rate that a step reaches; assumed or measured

    @property
    def example(self) -> float:
        """Seconds of computing for one example.

        Proportional: a GPU that a small batch cannot fill is slower than that, and waits for its
        gradients a smaller share of the time.
        """
        return self.operations / (self.rate * self.share)


def by_batch(job: Job, ring: Ring, batches: Sequence[int]) -> str:
    """A table of what a step takes with so many examples a GPU."""
    exchange = ring.seconds(job.gradients)
    lines = [
        "| examples a GPU | global batch | computing, ms | gradients, ms | communication "
        "| efficiency |",
        "|---|---|---|---|---|---|",
    ]
    for batch in batches:
        computing = batch * job.example
        reached = efficiency(computing, exchange)
        lines.append(
            f"| {batch} | {batch * ring.gpus} | {1000 * computing:.1f} | {1000 * exchange:.1f} "
            f"| {1 - reached:.0%} | {reached:.0%} |"
        )
    return "\n".join(lines)


def by_network(job: Job, ring: Ring, target: float, shares: Sequence[float] = SHARES) -> str:
    """A table of the fewest examples a GPU that reach `target`: networks by shares of the rate.

    `ring.between` is replaced by each of `NETWORKS` in turn.
    """
    lines = [
        "| between nodes | gradients, ms | "
        + " | ".join(f"{share:.0%}" for share in shares)
        + " |",
        "|---" * (2 + len(shares)) + "|",
    ]
    for name in NETWORKS:
        exchange = dataclasses.replace(ring, between=LINKS[name]).seconds(job.gradients)
        fewest = [
            smallest_batch(dataclasses.replace(job, share=share).example, exchange, target)
            for share in shares
        ]
        cells = [LINKS[name].words, f"{1000 * exchange:.1f}", *map(str, fewest)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
