"""What more devices cost a training step: simulated ones, all on one core of this machine.

Devices that share a core compute no faster than one. So at the same global batch whatever a step
takes beyond that of one device is the cost of there being several: smaller batches for each, the
update done by every one, and the sum of the gradients, which is timed alone too.
"""

from __future__ import annotations

import dataclasses
import os
import socket
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fftdiff_jax.commands.benchmarks.collectives import all_reduces
from fftdiff_jax.commands.benchmarks.fresh import Row, in_fresh_processes
from fftdiff_jax.commands.benchmarks.training import Training
from fftdiff_jax.config import Config
from fftdiff_jax.training.cluster import processes
from fftdiff_jax.training.examples import Batch
from fftdiff_jax.training.losses import perceptual_network
from fftdiff_jax.training.state import abstract_state
from fftdiff_jax.training.step import AXIS, make_train_step

# Without these a program compiles several times as fast and runs several times as slowly; what it
# sends and which arrays it holds are the same.
QUICKLY: Any = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}
COUNTED_CROP = 64  # pixels; what the gradients weigh does not depend on it


def measure_devices(config: Config, *, repeats: int) -> dict[str, Any]:
    """Times steps, and sums of the gradients alone, in turn; in the worker's process.

    Seconds are the medians, of the clock and of the processor (this process's share of it).
    """
    training = Training(config)
    step: Any = training.train_step
    found = None
    if jax.process_count() == 1:
        # The compiled program is the one that runs. Of several processes each has its own part of
        # the batch, which `jax.pmap` puts together and a compiled program does not.
        step = step.lower(*training.arguments).compile()
        found = all_reduces(step.as_text())
    # The mean of the loss travels with the gradients.
    tree = processes.on_own_devices((jnp.zeros(()), jax.tree.map(jnp.copy, training.state.params)))
    add: Any = jax.pmap(
        lambda _, x: jax.lax.pmean(x, AXIS), axis_name=AXIS, in_axes=(0, None), out_axes=None
    )
    each = np.zeros(jax.local_device_count())  # pmap wants something to share out

    def one_step() -> Any:
        training.state, numbers = step(*training.arguments)
        return training.state, numbers

    steps, sums = [], []
    for _ in range(repeats + 1):
        steps.append(_seconds(one_step))
        sums.append(_seconds(lambda: add(each, tree)))
    return {
        "step": _medians(steps[1:]),  # the first one warms up
        "sum": _medians(sums[1:]),
        "bytes": None if found is None else sum(one.size for one in found),
        "all_reduces": None if found is None else len(found),
    }


def measure_reduced(config: Config) -> dict[str, Any]:
    """Bytes that the all-reduces of a compiled step sum; compiled for two devices, not run."""
    config = dataclasses.replace(
        config, data=dataclasses.replace(config.data, crop_size=COUNTED_CROP)
    )
    shape = (jax.local_device_count(), 4, COUNTED_CROP, COUNTED_CROP, 3)
    crops: Any = jax.ShapeDtypeStruct(shape, jnp.uint8)  # shapes alone: nothing is computed
    step: Any = make_train_step(config)
    lowered = step.lower(
        abstract_state(config), Batch(crops, crops), perceptual_network(config.diffusion)
    )
    found = all_reduces(lowered.compile(QUICKLY).as_text())
    return {"bytes": sum(one.size for one in found), "all_reduces": len(found)}


def in_processes(
    kind: str, config: Config, devices: int, count: int = 1, **options: Any
) -> list[Row]:
    """One of these measurements in `count` new processes, each of `devices` simulated devices."""
    flag = f"--xla_force_host_platform_device_count={devices}"
    flags = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()
    shared = {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    if count == 1:
        return in_fresh_processes(kind, config, [shared], **options)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    # What srun would set: the processes meet as in a job.
    shared |= {
        "JAX_COORDINATOR_PORT": str(port),
        "SLURM_JOB_ID": "1",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_NUM_TASKS": str(count),
        "SLURM_STEP_TASKS_PER_NODE": str(count),
    }
    places = [
        shared | {"SLURM_PROCID": str(index), "SLURM_LOCALID": str(index)} for index in range(count)
    ]
    return in_fresh_processes(kind, config, places, **options)


def stay_on_one_core() -> int | None:
    """Keeps this process, and those it starts, on one core; its number, None where it cannot."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def table(rows: Sequence[tuple[int, int, list[Row]]]) -> str:
    """The measurements as Markdown.

    Args:
      rows: processes, devices of each, and what each process answered; the first is one device.
    """
    lines = [
        "| processes x devices | ms a step | ms of the processor | over one device "
        "| gradients summed alone, ms of the processor | share of a step | bytes summed |",
        "|---|---|---|---|---|---|---|",
    ]
    alone = 0.0
    for count, devices, answers in rows:
        found = [answer["result"] for answer in answers]
        busy = sum(each["step"]["processor"] for each in found)
        adding = sum(each["sum"]["processor"] for each in found)
        alone = alone or busy
        clock = max(each["step"]["clock"] for each in found)
        several = count * devices > 1
        cells = [
            f"{count} x {devices}",
            f"{1000 * clock:.0f}",
            f"{1000 * busy:.0f}",
            f"{busy / alone - 1:+.0%}" if several else "",
            f"{1000 * adding:.1f}" if several else "",
            f"{adding / busy:.1%}" if several else "",
            f"{found[0]['bytes']:.0f}" if several and count == 1 else "",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _seconds(run: Callable[[], Any]) -> tuple[float, float]:
    clock, processor = time.perf_counter(), time.process_time()
    jax.block_until_ready(run())
    return time.perf_counter() - clock, time.process_time() - processor


def _medians(seconds: Sequence[tuple[float, float]]) -> dict[str, float]:
    clock, processor = zip(*seconds, strict=True)
    return {"clock": statistics.median(clock), "processor": statistics.median(processor)}
