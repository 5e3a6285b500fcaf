"""What restoring very many photos on many nodes should take: a simulation from measured times.

Each node has workers, which take shards from a queue as tasks of a Slurm array do. A node is slow
or not; it is taken away now and then, and its shards go on where they were. All of them share one
store, whose bytes and file operations a second are limited: where they would ask for more, all are
slowed down alike.
"""

from __future__ import annotations

import dataclasses
import heapq

import numpy as np


@dataclasses.dataclass(frozen=True)
class Photos:
    """What is restored, and what one photo costs.

    Attributes:
      count: of all photos.
      seconds: that a worker takes for one, measured; the work of the network and of the file.
      megabytes: that are read and written for one, together.
      operations: on files for one, with those that clients may answer from memory: it is looked
        at, opened, written, read back, renamed, put on record.
      spread: standard deviation of the seconds, as a share of their mean.
    """

    count: int
    seconds: float
    megabytes: float
    operations: float = 25.0
    spread: float = 0.5


@dataclasses.dataclass(frozen=True)
class Cluster:
    """What restores them.

    Attributes:
      nodes: that work at once.
      workers: processes of a node, each of which restores a photo at a time.
      slow_share: of the nodes, at `slow_speed` of the others' speed: stragglers.
      losses: how often a node is taken away, an hour.
      wait: seconds until a shard that was stopped starts again.
      start: seconds from a shard's start to its first photo.
      bandwidth: bytes a second of the store, read and written, of all nodes together.
      metadata: file operations a second of the store.
    """

    nodes: int = 64
    workers: int = 1
    slow_share: float = 1 / 16
    slow_speed: float = 0.5
    losses: float = 0.05
    wait: float = 120.0
    start: float = 20.0
    bandwidth: float = 20e9
    metadata: float = 20e3


@dataclasses.dataclass(frozen=True)
class Cost:
    """What it comes to.

    Attributes:
      hours: until the last photo is done.
      node_hours: that the nodes worked, those that waited for the last shard left out.
      idle: share of all workers' time until then in which they had no shard.
      lost: share of all workers' time that starts and losses of nodes took.
      bound: what limits the rate: "nodes", "bytes" or "file operations".
      terabytes: that travel.
    """

    hours: float
    node_hours: float
    idle: float
    lost: float
    bound: str
    terabytes: float


def simulate(photos: Photos, cluster: Cluster, shards: int, seed: int = 0) -> Cost:
    """Restores the photos in `shards` equal shards; the same seed gives the same answer."""
    rng = np.random.default_rng(seed)
    speeds = np.ones(cluster.nodes * cluster.workers)  # of each worker
    speeds[: round(cluster.nodes * cluster.slow_share) * cluster.workers] = cluster.slow_speed
    used = np.sort(speeds)[-shards:]  # where there are fewer shards, the rest has nothing to do
    limits = {
        "nodes": used.sum() / photos.seconds,
        "bytes": cluster.bandwidth / (1e6 * photos.megabytes),
        "file operations": cluster.metadata / photos.operations,
    }
    bound = min(limits, key=lambda name: limits[name])
    second = photos.seconds * limits["nodes"] / limits[bound]  # a photo, on a worker
    counts = np.full(shards, photos.count // shards)
    counts[: photos.count % shards] += 1
    free = [(0.0, worker) for worker in range(speeds.size)]
    heapq.heapify(free)
    work = lost = 0.0
    ends = np.zeros(speeds.size)
    for count in counts[counts > 0]:
        begin, worker = heapq.heappop(free)
        noise = 1 + photos.spread * rng.standard_normal() / np.sqrt(count)
        needed = count * second * max(noise, 0.0) / speeds[worker]
        # Of each loss: the wait, another start, and on average half of the photo in progress.
        times = rng.poisson(cluster.losses * (needed + cluster.start) / 3600)
        again = cluster.wait + cluster.start + second / speeds[worker] / 2
        extra = cluster.start + times * again
        work, lost = work + needed, lost + extra
        ends[worker] = begin + needed + extra
        heapq.heappush(free, (ends[worker], worker))
    last = ends.max()
    return Cost(
        hours=last / 3600,
        node_hours=(work + lost) / cluster.workers / 3600,
        idle=1 - ends.mean() / last,
        lost=lost / (speeds.size * last),
        bound=bound,
        terabytes=photos.count * photos.megabytes / 1e6,
    )


def table(photos: list[Photos], cluster: Cluster, shards: list[int]) -> str:
    """A Markdown table: a row for each number of photos and of shards."""
    lines = [
        "| photos | shards | hours | node-hours | photos/s | bound by | TB moved | without a "
        "shard | starts, losses |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for some in photos:
        for count in shards:
            found = simulate(some, cluster, count)
            cells = [
                f"{some.count:,}",
                f"{count:,}",
                _short(found.hours),
                _short(found.node_hours),
                _short(some.count / found.hours / 3600),
                found.bound,
                _short(found.terabytes),
                f"{100 * found.idle:.1f} %",
                f"{100 * found.lost:.1f} %",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
