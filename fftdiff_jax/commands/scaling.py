"""Estimates images a second and hours on 1 to 16 A40s, from the program and published rates.

    fftdiff-jax scaling --config=rain1400_gpu

It is arithmetic, as benchmarks/scaling.py says, printed as a table. With --step_seconds,
a step time measured on one GPU, it scales that instead. With --measure it measures a step on the
device at hand, and an A40 is taken to reach the same share of its own rate.
"""

from __future__ import annotations

import dataclasses
import os

from absl import flags

from fftdiff_jax.commands import config_flags, shared
from fftdiff_jax.errors import UserError

_CONFIG = flags.DEFINE_string("config", "rain1400_gpu", "the experiment")
_GPUS = flags.DEFINE_list("gpus", ["1", "2", "4", "8", "16"], "numbers of GPUs")
_GPUS_A_NODE = flags.DEFINE_integer("gpus_a_node", 8, "GPUs of a node", lower_bound=1)
_STEP_SECONDS = flags.DEFINE_float("step_seconds", None, "of the global batch, on one GPU", 0.0)
_MEASURE = flags.DEFINE_bool("measure", False, "measure a step here (minutes on a CPU)")
_PAIRS = flags.DEFINE_integer("pairs", 12_600, "training pairs; Rain1400 has 12,600", lower_bound=1)


def main(overrides: list[str]) -> int:
    """Prints the table."""
    gpus = [int(word) for word in _GPUS.value if word.isdigit() and int(word) > 0]
    if len(gpus) != len(_GPUS.value) or not gpus:
        raise UserError(f"--gpus: {','.join(_GPUS.value)!r} are not whole numbers of at least 1")
    if not _MEASURE.value:
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
    config = config_flags.load_config(_CONFIG.value, overrides)
    shared.prepare_jax("")
    from fftdiff_jax.commands.benchmarks.scaling import (
        Rates,
        Work,
        count_work,
        expect,
        measure_step,
    )

    rates = Rates(gpus_a_node=_GPUS_A_NODE.value)
    work = count_work(config)
    batch, steps = config.training.batch_size, config.training.steps
    print(
        f"{work.parameters / 1e6:.1f} M parameters, {work.gradients / 1e6:.0f} MB of gradients a "
        f"step; {work.operations / 1e9:.0f} GFLOP and {work.traffic / 1e9:.1f} GB an example of "
        f"{config.data.crop_size} x {config.data.crop_size}; batch {batch}, {steps} steps = "
        f"{batch * steps / _PAIRS.value:.0f} crops of each of {_PAIRS.value} pairs\n"
    )
    measured = _STEP_SECONDS.value
    peak = rates.bfloat16 if config.model.dtype == "bfloat16" else rates.float32
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


def _range(low: float, high: float) -> str:
    texts = [f"{value:.3g}" if value < 1000 else f"{value:.0f}" for value in (low, high)]
    return texts[0] if texts[0] == texts[1] else " to ".join(texts)
