"""What training on more GPUs should bring, on paper: operations, bytes and published rates.

The work of a step is counted by XLA from the program itself, before it fuses anything. So the time
for the operations alone is a lower bound, and the time in which every intermediate array goes to
memory and back an upper one. A step that is measured on another device adds a third value: an A40
that reaches the same share of its own rate. The gradients are summed by a ring (ring.py).
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fftdiff_jax.commands.benchmarks.ring import LINKS, Link, Ring
from fftdiff_jax.config import Config
from fftdiff_jax.training.cluster import processes
from fftdiff_jax.training.examples import Batch
from fftdiff_jax.training.losses import perceptual_network
from fftdiff_jax.training.state import abstract_state, create_state
from fftdiff_jax.training.step import make_train_step

_EXAMPLES = 4  # of a counted step; a quarter of them are trained at a random time too


@dataclasses.dataclass(frozen=True)
class Rates:
    """What a GPU and its surroundings can do at best; the defaults: A40s in nodes of Great Lakes.

    NVIDIA's data sheet of the A40: 149.7 TFLOP/s bfloat16 (dense, tensor cores), 37.4 TFLOP/s
    float32, 696 GB/s of memory, PCIe 4 x16. Between nodes: 100 Gb/s InfiniBand.
    """

    bfloat16: float = 149.7e12  # operations a second
    float32: float = 37.4e12
    memory: float = 696e9  # bytes a second
    within: Link = LINKS["pcie"]
    between: Link = LINKS["infiniband"]
    gpus_a_node: int = 8

    def ring(self, gpus: int) -> Ring:
        """So many of them together."""
        return Ring(gpus, self.gpus_a_node, self.within, self.between)

    def of(self, config: Config) -> float:
        """Operations a second in the type of the configuration's network."""
        return self.bfloat16 if config.model.dtype == "bfloat16" else self.float32


@dataclasses.dataclass(frozen=True)
class Work:
    """One training step's work."""

    operations: float  # an example, forward and backward
    traffic: float  # bytes an example, were every intermediate array written and read
    gradients: float  # bytes that are summed over the GPUs
    parameters: int


@dataclasses.dataclass(frozen=True)
class Expected:
    """What `gpus` GPUs should do with the global batch; pairs are (at best, at worst)."""

    gpus: int
    seconds: tuple[float, float]  # a step
    images: tuple[float, float]  # a second
    hours: tuple[float, float]  # the whole run
    exchange: float  # seconds of a step in which gradients travel


def count_work(config: Config) -> Work:
    """Counts the work of a training step from its program; nothing is compiled or computed."""
    state = abstract_state(config)
    side = config.data.crop_size
    crops = jax.ShapeDtypeStruct((1, _EXAMPLES, side, side, 3), jnp.uint8)
    step: Any = make_train_step(config)
    shapes: Any = crops
    batch = Batch(shapes, shapes)  # shapes alone: nothing is computed
    lowered = step.lower(state, batch, perceptual_network(config.diffusion))
    cost = lowered.cost_analysis()
    sizes = [leaf.size for leaf in jax.tree.leaves(state.params)]
    return Work(
        operations=cost["flops"] / _EXAMPLES,
        traffic=cost["bytes accessed"] / _EXAMPLES,
        gradients=4.0 * sum(sizes),  # masters are float32
        parameters=sum(sizes),
    )


@dataclasses.dataclass(frozen=True)
class Measured:
    """A training step on the device at hand."""

    examples: int
    seconds: float  # the median of a few steps
    products: float  # operations a second of large matrix products, measured beside the steps

    def share(self, work: Work) -> float:
        """Of what matrix products reach, how much a training step does."""
        return self.examples * work.operations / self.seconds / self.products


def measure_step(config: Config, examples: int = _EXAMPLES, repeats: int = 5) -> Measured:
    """Times training steps of `examples` random crops, and matrix products in turn with them.

    In turn, so that whatever else the machine does slows both down.
    """
    side, size = config.data.crop_size, 2048
    rng = np.random.default_rng(0)
    clean, rainy = rng.integers(0, 256, (2, 1, examples, side, side, 3), np.uint8)
    perceptual = perceptual_network(config.diffusion)
    state = processes.on_own_devices(create_state(config))
    step: Any = make_train_step(config)
    product = jax.jit(jnp.matmul)
    square = jnp.ones((size, size), jnp.dtype(config.model.dtype))
    steps, products = [], []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        state, numbers = step(state, Batch(clean, rainy), perceptual)
        jax.block_until_ready((state, numbers))
        between = time.perf_counter()
        for _ in range(3):
            product(square, square).block_until_ready()
        steps.append(between - started)
        products.append((time.perf_counter() - between) / 3)
    # The first one of each compiles.
    return Measured(
        examples, statistics.median(steps[1:]), 2 * size**3 / statistics.median(products[1:])
    )


def expect(config: Config, work: Work, gpus: int, rates: Rates) -> Expected:
    """What `gpus` GPUs should do at best and at worst, with the configuration's global batch."""
    share = config.training.batch_size / gpus
    operations = share * work.operations / rates.of(config)
    traffic = share * work.traffic / rates.memory
    exchange = rates.ring(gpus).seconds(work.gradients)
    best, worst = operations + exchange, max(operations, traffic) + exchange
    batch, steps = config.training.batch_size, config.training.steps
    return Expected(
        gpus=gpus,
        seconds=(best, worst),
        images=(batch / best, batch / worst),
        hours=(best * steps / 3600, worst * steps / 3600),
        exchange=exchange,
    )
