"""Several training processes on this machine, with the variables that srun would give them."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests import quick_xla
from tests.commands import environment

SECONDS = 300.0  # until something that should happen counts as failed


def command(flags: Sequence[str], workdir: Path) -> list[str]:
    """The training command."""
    train = (sys.executable, "-m", "experiments.train", "--noprogress")
    return [*train, f"--workdir={workdir}", *flags]


def surroundings(
    index: int = 0, count: int = 1, devices: int = 1, job: int = 1, host: str = "localhost"
) -> dict[str, str]:
    """The environment of process `index` of `count`, each with simulated devices."""
    slurm = {
        "SLURM_JOB_ID": str(job),
        "SLURM_STEP_NODELIST": host,
        "SLURM_STEP_NUM_TASKS": str(count),
        "SLURM_STEP_TASKS_PER_NODE": str(count),
        "SLURM_PROCID": str(index),
        "SLURM_LOCALID": str(index),
    }
    return environment(XLA_FLAGS=quick_xla.with_devices(devices), **(slurm if count > 1 else {}))


@contextlib.contextmanager
def started(
    arguments: Sequence[str],
    *,
    count: int = 1,
    devices: int = 1,
    present: int | None = None,
    host: str = "localhost",
    prefixes: Sequence[Sequence[str]] = (),
) -> Iterator[list[subprocess.Popen[str]]]:
    """Starts `count` processes (only the first `present`), and kills what is left at the end.

    `host` is where the first one is, `prefixes` stand before the command of each.
    """
    job = random.SystemRandom().randrange(1, 2**20)
    processes = [
        subprocess.Popen(
            [*(prefixes[i] if prefixes else ()), *arguments],
            env=surroundings(i, count, devices, job, host),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(count if present is None else present)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.communicate()


def run(
    arguments: Sequence[str], *, count: int = 1, devices: int = 1, present: int | None = None
) -> list[tuple[int, str]]:
    """Runs them to their ends: exit codes and what they said."""
    with started(arguments, count=count, devices=devices, present=present) as processes:
        return [(p.wait(), said) for p, said in [(p, heard(p)) for p in processes]]


def heard(process: subprocess.Popen[str]) -> str:
    """What a process says until it ends."""
    return process.communicate(timeout=SECONDS)[0]


def newest(workdir: Path) -> int:
    """The step of the newest complete checkpoint; 0: none."""
    folder = workdir / "checkpoints"
    names = os.listdir(folder) if folder.is_dir() else []
    return max((int(name) for name in names if name.isdigit()), default=0)


def wait_for_step(workdir: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Waits until a checkpoint of `step` or later is there."""
    deadline = time.monotonic() + SECONDS
    while newest(workdir) < step:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, f"no checkpoint of step {step} in time"
        time.sleep(0.01)


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
    """Sends a signal, and returns the exit code and what was said."""
    process.send_signal(number)
    said = heard(process)
    return process.returncode, said
