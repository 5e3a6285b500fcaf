"""Trains a restorer, or goes on where a run stopped.

    fftdiff-jax train --config=quickstart --workdir=runs/quickstart

Any field of the configuration can be set: --config.training.steps=2000. The same command again
resumes the run in --workdir. A finished run holds summary.json and before_after.png.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from absl import flags

from fftdiff_jax.commands import config_flags, shared
from fftdiff_jax.errors import UserError
from fftdiff_jax.training.cluster.signals import Interrupted, StopSignals
from fftdiff_jax.words import counted

_CONFIG = flags.DEFINE_string("config", None, "a recipe's name, or a file of yours")
_WORKDIR = flags.DEFINE_string("workdir", None, "the run's folder; made when missing")
_PROGRESS = flags.DEFINE_bool("progress", True, "show a progress bar")
_COMPILATION_CACHE = shared.define_compilation_cache()

_PROCESS_TIMEOUT = flags.DEFINE_integer(
    "process_timeout", 300, "seconds to wait for the other processes of a Slurm step", lower_bound=1
)
_HEARTBEAT_TIMEOUT = flags.DEFINE_integer(
    "heartbeat_timeout", 100, "seconds without a sign of a process until it is lost", lower_bound=10
)

_CPU_DEVICES = flags.DEFINE_integer(
    "cpu_devices",
    0,
    "devices that share a CPU's cores; 0: one a core, where the batch allows it",
    lower_bound=0,
)

_ACCEPT = flags.DEFINE_bool(
    "accept_changed_data",
    False,
    "go on although the manifest's rows or the photos are not those of the checkpoint",
)


def _say(line: str) -> None:
    print(f"\n{line}", file=sys.stderr, flush=True)


def main(overrides: list[str]) -> int:
    """Runs the training that the flags describe; exit codes: see docs/reliability.md."""
    # From here on a signal is heard, also while JAX is being imported and while it compiles.
    with StopSignals(_say) as stop:
        workdir = Path(shared.require("workdir", _WORKDIR.value))
        config = config_flags.load_config(shared.require("config", _CONFIG.value), overrides)
        # Before JAX, which takes seconds to start; of several processes, the first one says it.
        if os.environ.get("SLURM_PROCID", "0") == "0":
            print(f"training {config.training.steps} steps into {workdir}", flush=True)
        shared.prepare_jax(_COMPILATION_CACHE.value)
        shared.share_cores(config, devices=_CPU_DEVICES.value)
        from fftdiff_jax.training.cluster import processes
        from fftdiff_jax.training.loop import train

        place = processes.start(
            os.environ, timeout=_PROCESS_TIMEOUT.value, heartbeat=_HEARTBEAT_TIMEOUT.value
        )
        first = place is None or place.index == 0
        try:
            summary = train(
                config,
                workdir,
                progress=_PROGRESS.value,
                stop=stop,
                accept_changed_data=_ACCEPT.value,
            )
        except Interrupted as end:
            if place is not None:
                stop.ignore()
            if first:
                print(f"ended as asked: {end}", file=sys.stderr, flush=True)
            return end.code
        except Exception as error:
            if place is None:
                raise
            _leave(error, place, processes)
        if not first:
            stop.ignore()  # it waits for the first one, which hears the signals
    if first:
        _report(workdir, summary)
    return 0


# What a run leaves, and what it is for.
_LEFT = {
    "before_after.png": "held-out photos: rainy, restored, clean",
    "summary.json": "their scores; evaluation/metrics.csv has each photo's",
    "metrics.csv": "loss and validation scores by step",
    "samples": "crops that were restored on the way",
    "checkpoints": "the weights; --checkpoint takes the run's folder",
    "config.json": "every setting",
    "events*": "curves: pip install tensorboard, then tensorboard --logdir={workdir}",
}


def _report(workdir: Path, summary: dict[str, Any] | None) -> None:
    print(f"finished: {workdir}")
    if summary:
        rainy, restored = summary["rainy"], summary["restored"]
        count = counted(summary["num_images"], "held-out photo")
        print(
            f"{count}: rainy {rainy['psnr_y']:.2f} dB -> restored "
            f"{restored['psnr_y']:.2f} dB (PSNR on Y, gain "
            f"{restored['psnr_y'] - rainy['psnr_y']:+.2f} dB)"
        )
    for name, what in _LEFT.items():
        if any(workdir.glob(name)):
            print(f"  {workdir / name}: {what.format(workdir=workdir)}")
    python = shared.this_python()
    print(
        "restore your own photos with these weights:\n"
        f"  {python} -m fftdiff_jax --checkpoint={workdir} --output={workdir / 'restored'} "
        "PHOTO_OR_FOLDER\n"
        "or with those in the box, which were trained for hours:\n"
        f"  {python} -m fftdiff_jax PHOTO_OR_FOLDER"
    )


def _leave(error: Exception, place: Any, processes: Any) -> NoReturn:
    """Ends one of several processes: an ordinary exit would wait for those that still train."""
    who = f"process {place.index} of {place.count}"
    code = 1
    if isinstance(error, UserError):
        print(f"error: {who}: {error}", file=sys.stderr)
    elif processes.is_lost_process(error):
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        print(
            f"error: {who}: another process, or the network to it, is lost ({reason}); the same "
            "command goes on from the last checkpoint",
            file=sys.stderr,
        )
        code = processes.LOST
    else:
        traceback.print_exception(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
