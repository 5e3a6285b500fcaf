"""Gradients summed by a ring of GPUs, and how much of a step is left for computing.

A ring of n members sums S bytes in 2 (n - 1) rounds; in each, every member sends S / n bytes to the
next one (Patarasu and Yuan 2009). A round is as slow as the slowest link of the ring, which between
nodes is the network. NCCL adds some time to start, counted here once a sum.

The gradients travel after the backward pass and not beside it: the step sums all of them at once,
and what XLA may hide of that is not counted. So an efficiency is what is reached at least, given
the computing.
"""

from __future__ import annotations

import dataclasses
import math

# Seconds before the first round: `baseLat` of a ring (protocol Simple) in NCCL's own cost model,
# src/graph/tuning.cc. Its latencies of a hop are those of LINKS.
START = 8.4e-6


@dataclasses.dataclass(frozen=True)
class Link:
    """One way from a GPU to the next."""

    words: str
    bandwidth: float  # bytes a second, each way, by the data sheet
    latency: float  # seconds a round
    reached: float = 1.0  # share of the bandwidth that large messages reach

    def seconds(self, size: float) -> float:
        """Of one round in which `size` bytes travel."""
        return self.latency + size / (self.bandwidth * self.reached)


# Bandwidths by the data sheets: NVIDIA A40 and A100, PCI Express 4.0, InfiniBand HDR100, Ethernet.
# Latencies of a hop: NCCL's `hwLat` of a ring (Simple). NCCL has none for TCP: ours is a guess.
# 0.8 of a data sheet's rate is what NCCL's own tests commonly show; a guess until it is measured.
LINKS = {
    "pcie": Link("PCIe 4 x16, 31.5 GB/s", 31.5e9, 5.7e-6, 0.8),
    "nvlink_a40": Link("NVLink bridge of A40s (joins two), 56.25 GB/s", 56.25e9, 3.4e-6, 0.8),
    "nvlink_a100": Link("NVLink of A100s, 300 GB/s", 300e9, 3.4e-6, 0.8),
    "infiniband": Link("InfiniBand HDR100, 100 Gb/s", 12.5e9, 14e-6, 0.8),
    "ethernet_25": Link("Ethernet, 25 Gb/s, TCP", 3.125e9, 50e-6, 0.8),
    "ethernet_10": Link("Ethernet, 10 Gb/s, TCP", 1.25e9, 50e-6, 0.8),
}


@dataclasses.dataclass(frozen=True)
class Ring:
    """The GPUs that train together."""

    gpus: int
    gpus_a_node: int
    within: Link = LINKS["pcie"]
    between: Link = LINKS["infiniband"]

    def seconds(self, size: float) -> float:
        """In which `size` bytes of every GPU become their sum on every GPU."""
        if self.gpus == 1:
            return 0.0
        part = size / self.gpus
        slowest = self.within.seconds(part)
        if self.gpus > self.gpus_a_node:
            slowest = max(slowest, self.between.seconds(part))
        return START + 2 * (self.gpus - 1) * slowest


def efficiency(computing: float, exchange: float) -> float:
    """Share of a step of which the GPU computes: what n GPUs do, of n times what one does.

    Args:
      computing: seconds, with the examples of one GPU.
      exchange: seconds in which the gradients travel.
    """
    return computing / (computing + exchange)


def smallest_batch(example: float, exchange: float, target: float) -> int:
    """The fewest examples a GPU with which `target` of a step is computing.

    Args:
      example: seconds of computing for one example.
      exchange: seconds in which the gradients travel, whatever the batch.
      target: from 0 to below 1.
    """
    exact = exchange * target / (1 - target) / example
    return max(1, math.ceil(exact * (1 - 1e-12)))  # rounding must not cost an example
