"""How fast a training step is, and which share of the device's matrix rate it reaches."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from fftdiff_jax.commands.benchmarks import operations, timing
from fftdiff_jax.config import Config
from fftdiff_jax.method.unet import count_parameters
from fftdiff_jax.training.cluster import processes
from fftdiff_jax.training.examples import Batch
from fftdiff_jax.training.losses import perceptual_network
from fftdiff_jax.training.state import TrainState, create_state
from fftdiff_jax.training.step import TrainStep, make_train_step


class Training:
    """The training step of a configuration, on one batch of random pairs, ready to be run."""

    def __init__(self, config: Config) -> None:
        self.train_step: TrainStep = make_train_step(config)
        self.state: TrainState = processes.on_own_devices(create_state(config))
        self.batch = random_batch(config)
        self.perceptual: PyTree = perceptual_network(config.diffusion)

    def run(self, steps: int) -> Any:
        """Takes steps as the training loop does, without awaiting each; returns the last state."""
        for _ in range(steps):
            self.state, _ = self.train_step(self.state, self.batch, self.perceptual)
        return self.state

    @property
    def arguments(self) -> tuple[TrainState, Batch, PyTree]:
        """What the step is called with."""
        return self.state, self.batch, self.perceptual


def random_batch(config: Config) -> Batch:
    """Random crops in the step's layout; what they show does not change the time."""
    side = config.data.crop_size
    examples = config.training.batch_size // jax.device_count()  # of all processes' devices
    shape = (jax.local_device_count(), examples, side, side, 3)
    rng = np.random.default_rng(0)
    return Batch(*(rng.integers(0, 256, shape, np.uint8) for _ in range(2)))


def measure_training(config: Config, *, repeats: int, steps_a_run: int = 5) -> dict[str, Any]:
    """Times `repeats` runs of some steps, each beside matrix products on the same devices.

    The device's load changes with time, so the share is taken run by run, and its median counts.
    """
    training = Training(config)
    product = timing.MatrixProduct(config.model.dtype)
    traced = count_operations(training)
    first_seconds = timing.timed(lambda: training.run(1))
    training.run(1)
    seconds, rates = [], []
    for _ in range(repeats):
        product_seconds = timing.timed(product)
        seconds.append(timing.timed(lambda: training.run(steps_a_run)) / steps_a_run)
        rates.append(product.rate(min(product_seconds, timing.timed(product))))
    step_seconds = statistics.median(seconds)
    operations_a_step = traced["flops_per_step"]
    shares = [operations_a_step / each / rate for each, rate in zip(seconds, rates, strict=True)]
    return {
        "images_per_second": config.training.batch_size / step_seconds,
        "step_seconds": step_seconds,
        **traced,
        "flops_per_second": operations_a_step / step_seconds,
        "matmul_flops_per_second": statistics.median(rates),
        "matmul_dtype": product.dtype,
        "matmul_side": product.side,
        "share_of_matmul": statistics.median(shares),
        "share_spread": timing.spread(shares),
        "step_spread": timing.spread(seconds),
        "first_step_seconds": first_seconds,
        "parameters": count_parameters(training.state.params),
        "batch_size": config.training.batch_size,
        "crop_size": config.data.crop_size,
        "peak_rss_mb": timing.peak_rss_mb(),
        "peak_device_mb": timing.peak_device_mb(),
    }


def count_operations(training: Training) -> dict[str, Any]:
    """Operations of one step over all devices: XLA's count, and the convolutions' own by hand.

    XLA counts the program before it is compiled for the device, so that what it later hands to
    libraries is in the count. A step is credited with XLA's number unless that is below the
    convolutions and products alone (or more than a fifth above them, when it counts other things).
    """
    traced: Callable = training.train_step
    jaxpr = jax.make_jaxpr(traced)(*training.arguments)
    products = operations.count_products(jaxpr)
    lowered = training.train_step.lower(*training.arguments)  # type: ignore[attr-defined]
    analysis = lowered.cost_analysis() or {}
    counted = float(analysis.get("flops", 0.0)) * jax.local_device_count()
    trusted = products <= counted <= 1.2 * products
    return {
        "flops_per_step": counted if trusted else products,
        "flops_xla": counted,
        "flops_products": products,
    }
