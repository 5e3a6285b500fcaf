"""One measurement in a process of its own: a request on standard input, the answer as JSON.

`fresh.in_fresh_process` starts it; the answer is the last line of standard output.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
from typing import Any

from fftdiff_jax import config as configuration
from fftdiff_jax.commands import shared
from fftdiff_jax.errors import UserError

# What measures each kind: a module of this package and a function of it.
MEASURES = {
    "train": ("training", "measure_training"),
    "data": ("loading", "measure_loading"),
    "sample": ("restoring", "measure_restoring"),
    "profile": ("profiling", "measure_profile"),
    "devices": ("devices", "measure_devices"),
    "reduced": ("devices", "measure_reduced"),
    "memory": ("memory", "measure_memory"),
}
# Of these, the devices are those that `fftdiff-jax train` would have.
AS_IN_TRAINING = ("train", "data", "profile")
# Several processes may be asked at once, with the variables that srun sets.
TOGETHER = ("devices", "reduced")


def main() -> int:
    """Answers the request on standard input; 1, and a line on standard error, when it cannot."""
    request = json.load(sys.stdin)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.disable(logging.WARNING)
    try:
        result = _measure(request)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    from fftdiff_jax.commands.benchmarks import timing

    answer = {"result": result, "device": timing.device(), "versions": timing.versions()}
    print(json.dumps(answer), flush=True)
    return 0


def _measure(request: dict[str, Any]) -> Any:
    if request["kind"] not in MEASURES:  # "machine": device and versions alone
        return None
    config = configuration.from_dict(request["config"])
    if request["kind"] in AS_IN_TRAINING:
        shared.share_cores(config)
    if request["kind"] in TOGETHER:
        from fftdiff_jax.training.cluster import processes

        processes.start(os.environ)
    module, name = MEASURES[request["kind"]]
    measure = getattr(importlib.import_module(f"fftdiff_jax.commands.benchmarks.{module}"), name)
    return measure(config, **request["options"])


if __name__ == "__main__":
    sys.exit(main())
