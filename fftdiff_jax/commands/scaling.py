"""Estimates images a second and hours on 1 to 16 A40s, from the program and published rates.

    fftdiff-jax scaling --config=rain1400_gpu

It is arithmetic, as benchmarks/scaling.py says, printed as a table. With --step_seconds,
a step time measured on one GPU, it scales that instead. With --measure it measures a step on the
device at hand, and an A40 is taken to reach the same share of its own rate.

    fftdiff-jax scaling --batches=1,4,16,64 --gpus=16 --gpus_a_node=4

simulates steps of so many examples a GPU, and says from which batch on they are efficient: bytes
from the compiled program, links and latencies as in benchmarks/ring.py. These measure instead:

    fftdiff-jax scaling --devices=1,2,4,8             a step on simulated devices of one core
    fftdiff-jax scaling --memory=rain1400_gpu,long    a step's memory, by XLA's analysis

    fftdiff-jax scaling --photos=1000000 --photo_seconds=32.4 --workers=18 --nodes=64

simulates restoring so many photos (benchmarks/many_photos.py).
"""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import TYPE_CHECKING

from absl import flags

from fftdiff_jax.commands import config_flags, shared
from fftdiff_jax.errors import UserError

if TYPE_CHECKING:
    from fftdiff_jax.commands.benchmarks.scaling import Rates
    from fftdiff_jax.config import Config

_CONFIG = flags.DEFINE_string("config", "rain1400_gpu", "the experiment")
_GPUS = flags.DEFINE_list("gpus", ["1", "2", "4", "8", "16"], "numbers of GPUs")
_GPUS_A_NODE = flags.DEFINE_integer("gpus_a_node", 8, "GPUs of a node", lower_bound=1)
_STEP_SECONDS = flags.DEFINE_float("step_seconds", None, "of the global batch, on one GPU", 0.0)
_MEASURE = flags.DEFINE_bool("measure", False, "measure a step here (minutes on a CPU)")
_PAIRS = flags.DEFINE_integer("pairs", 12_600, "training pairs; Rain1400 has 12,600", lower_bound=1)
_WITHIN = flags.DEFINE_enum(
    "within", "pcie", ["pcie", "nvlink_a40", "nvlink_a100"], "links of the GPUs of a node"
)
_BETWEEN = flags.DEFINE_enum(
    "between", "infiniband", ["infiniband", "ethernet_25", "ethernet_10"], "links of nodes"
)
_BATCHES = flags.DEFINE_list("batches", [], "examples a GPU: simulates steps of these instead")
_SHARE = flags.DEFINE_float(
    "share", 0.3, "batches: of the card's rate, what a step reaches; assumed", 1e-3, 1.0
)
_TARGET = flags.DEFINE_float("target", 0.9, "batches: the efficiency that is wanted", 0.0, 0.999)
_DEVICES = flags.DEFINE_list("devices", [], "simulated devices: measures steps on these instead")
_PROCESSES = flags.DEFINE_integer(
    "processes", 2, "devices: also so many processes of one device each; 1: none", lower_bound=1
)
_REPEATS = flags.DEFINE_integer("repeats", 7, "devices: timed steps", lower_bound=1)
_MEMORY = flags.DEFINE_list("memory", [], "recipes: prints the memory of a step of each instead")
_PLATFORM = flags.DEFINE_enum(
    "platform", "cpu", ["cpu", "cuda"], "memory: compiles for it; cuda wants JAX's CUDA plugin"
)
_PHOTOS = flags.DEFINE_list("photos", [], "numbers of photos: simulates restoring these instead")
_PHOTO_SECONDS = flags.DEFINE_float("photo_seconds", 32.4, "a photo, on one worker; measured", 1e-6)
_PHOTO_MEGABYTES = flags.DEFINE_float(
    "photo_megabytes", 9.0, "read and written for a photo, together", 1e-6
)
_NODES = flags.DEFINE_integer("nodes", 64, "that restore photos", lower_bound=1)
_WORKERS = flags.DEFINE_integer("workers", 1, "processes of a node that restore", lower_bound=1)
_SHARDS = flags.DEFINE_list("shards", ["64", "640"], "numbers of shards of the photos")
_BANDWIDTH = flags.DEFINE_float("store_gigabytes", 20.0, "the store moves a second", 1e-6)
_METADATA = flags.DEFINE_float("store_operations", 20_000.0, "on files a second", 1e-6)


def main(overrides: list[str]) -> int:
    """Prints the table."""
    if _PHOTOS.value:
        print(_many_photos())
        return 0
    if _MEMORY.value:
        print(_memory(overrides))
        return 0
    gpus = _whole_numbers("gpus", _GPUS.value)
    if not _MEASURE.value:
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
    config = config_flags.load_config(_CONFIG.value, overrides)
    if _DEVICES.value:
        print(_devices(config))
        return 0
    shared.prepare_jax("")
    from fftdiff_jax.commands.benchmarks.ring import LINKS
    from fftdiff_jax.commands.benchmarks.scaling import (
        Rates,
        Work,
        count_work,
        expect,
        measure_step,
    )

    rates = Rates(
        gpus_a_node=_GPUS_A_NODE.value, within=LINKS[_WITHIN.value], between=LINKS[_BETWEEN.value]
    )
    if _BATCHES.value:
        print(_batches(config, rates, gpus))
        return 0
    work = count_work(config)
    batch, steps = config.training.batch_size, config.training.steps
    print(
        f"{work.parameters / 1e6:.1f} M parameters, {work.gradients / 1e6:.0f} MB of gradients a "
        f"step; {work.operations / 1e9:.0f} GFLOP and {work.traffic / 1e9:.1f} GB an example of "
        f"{config.data.crop_size} x {config.data.crop_size}; batch {batch}, {steps} steps = "
        f"{batch * steps / _PAIRS.value:.0f} crops of each of {_PAIRS.value} pairs\n"
    )
    measured = _STEP_SECONDS.value
    peak = rates.of(config)
    if _MEASURE.value:
        import jax

        measured_config = config
        if jax.default_backend() == "cpu":
            # CPUs have no bfloat16 of their own; the program is the same.
            model = dataclasses.replace(config.model, dtype="float32")
            measured_config = dataclasses.replace(config, model=model)
        step = measure_step(measured_config)
        share = step.share(work)
        print(
            f"measured here, in {measured_config.model.dtype}: {step.seconds:.2f} s a step of "
            f"{step.examples} examples, "
            f"{step.examples * work.operations / step.seconds / 1e9:.0f} GFLOP/s; matrix products: "
            f"{step.products / 1e9:.0f} GFLOP/s; so a step reaches {share:.0%} of the rate\n"
        )
        measured = batch * work.operations / (peak * share)
    if measured:
        # The measured time in place of both bounds.
        work = Work(measured * peak / batch, 0.0, work.gradients, work.parameters)
    print("| GPUs | images/s | ms a step | of these, gradients travel | hours |")
    print("|---|---|---|---|---|")
    for count in gpus:
        found = expect(config, work, count, rates)
        cells = [
            str(count),
            _range(found.images[1], found.images[0]),
            _range(*(1000 * s for s in found.seconds)),
            f"{1000 * found.exchange:.1f} ms",
            _range(*found.hours),
        ]
        print("| " + " | ".join(cells) + " |")
    return 0


def _batches(config: Config, rates: Rates, gpus: list[int]) -> str:
    from fftdiff_jax.commands.benchmarks.devices import in_processes
    from fftdiff_jax.commands.benchmarks.efficiency import Job, by_batch, by_network
    from fftdiff_jax.commands.benchmarks.scaling import count_work

    batches = _whole_numbers("batches", _BATCHES.value)
    work = count_work(config)
    (answer,) = in_processes("reduced", config, devices=2)
    found = answer["result"]
    job = Job(work.operations, found["bytes"], rates.of(config), _SHARE.value)
    parts = [
        f"the compiled step sums {found['bytes']:.0f} bytes in {found['all_reduces']} all-reduce; "
        f"{work.operations / 1e9:.1f} GFLOP an example, at {job.share:.0%} of "
        f"{job.rate / 1e12:.1f} TFLOP/s: {1000 * job.example:.2f} ms"
    ]
    for count in gpus:
        ring = rates.ring(count)
        nodes = -(-count // rates.gpus_a_node)
        links = rates.within.words + (f"; {rates.between.words}" if nodes > 1 else "")
        parts.append(f"{count} GPUs, nodes: {nodes} ({links})\n\n{by_batch(job, ring, batches)}")
        if nodes > 1:
            parts.append(
                f"fewest examples a GPU for {_TARGET.value:.0%}, by the share of the rate that a "
                f"step reaches\n\n{by_network(job, ring, _TARGET.value)}"
            )
    return "\n\n".join(parts)


def _devices(config: Config) -> str:
    from fftdiff_jax.commands.benchmarks.devices import in_processes, stay_on_one_core, table

    counts = [(1, count) for count in _whole_numbers("devices", _DEVICES.value)]
    counts = [(1, 1), *(each for each in counts if each != (1, 1))]
    if _PROCESSES.value > 1:
        counts.append((_PROCESSES.value, 1))
    batch = config.training.batch_size
    for count in (count * devices for count, devices in counts):
        if batch % count:
            raise UserError(f"--devices: a batch of {batch} cannot be shared by {count} devices")
    core = stay_on_one_core()
    place = "all cores: the system cannot keep to one" if core is None else f"core {core} alone"
    rows = []
    for count, devices in counts:
        found = in_processes("devices", config, devices, count, repeats=_REPEATS.value)
        rows.append((count, devices, found))
        clock = max(each["result"]["step"]["clock"] for each in found)
        print(f"{count} x {devices}: {1000 * clock:.0f} ms a step", file=sys.stderr, flush=True)
    heading = (
        f"{rows[0][2][0]['device']}, {place}; batch {batch}, crops of {config.data.crop_size} x "
        f"{config.data.crop_size}, medians of {_REPEATS.value} steps"
    )
    return f"{heading}\n\n{table(rows)}"


def _memory(overrides: list[str]) -> str:
    from fftdiff_jax.commands.benchmarks.fresh import in_fresh_process
    from fftdiff_jax.commands.benchmarks.memory import Memory, table

    if _PLATFORM.value == "cuda" and not shared.has_cuda_build():
        raise UserError(
            "--platform=cuda: this JAX has no CUDA build; pip install 'fftdiff-jax[cuda]' (no GPU "
            "is needed), or --platform=cpu"
        )
    os.environ["JAX_PLATFORMS"] = "cpu"  # nothing is run
    rows = []
    for name in _MEMORY.value:
        config = config_flags.load_config(name, overrides)
        batch = config.training.batch_size
        found = []
        for count in sorted({max(1, batch // 4), max(2, batch)}):
            answer = in_fresh_process("memory", config, examples=[count], platform=_PLATFORM.value)
            found += [Memory(**row) for row in answer["result"]["rows"]]
            print(
                f"{name}, {count} examples: {found[-1].total / 1e9:.2f} GB",
                file=sys.stderr,
                flush=True,
            )
        rows.append((name, config.model.dtype, found))
    heading = "XLA's analysis of the step compiled for " + (
        "an A40" if _PLATFORM.value == "cuda" else "a CPU"
    )
    return f"{heading}\n\n{table(rows)}"


def _many_photos() -> str:
    from fftdiff_jax.commands.benchmarks.many_photos import Cluster, Photos, table

    seconds, megabytes = _PHOTO_SECONDS.value, _PHOTO_MEGABYTES.value
    photos = [
        Photos(count, seconds, megabytes) for count in _whole_numbers("photos", _PHOTOS.value)
    ]
    cluster = Cluster(
        nodes=_NODES.value,
        workers=_WORKERS.value,
        bandwidth=1e9 * _BANDWIDTH.value,
        metadata=_METADATA.value,
    )
    return table(photos, cluster, _whole_numbers("shards", _SHARDS.value))


def _whole_numbers(name: str, words: list[str]) -> list[int]:
    numbers = [int(word) for word in words if word.isascii() and word.isdigit() and int(word) > 0]
    if len(numbers) != len(words) or not numbers:
        raise UserError(f"--{name}: {','.join(words)!r} are not whole numbers of at least 1")
    return numbers


def _range(low: float, high: float) -> str:
    texts = [f"{value:.3g}" if value < 1000 else f"{value:.0f}" for value in (low, high)]
    return texts[0] if texts[0] == texts[1] else " to ".join(texts)
