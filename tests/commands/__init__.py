"""Runs entry points as a user would: as commands, from a folder that is not the checkout."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# A network that trains in seconds, on the crops that the tests' small photos allow.
TINY = (
    "--config.model.widths=(8,16)",
    "--config.model.blocks=(1,1)",
    "--config.data.crop_size=32",
    "--config.training.batch_size=4",
    "--config.diffusion.perceptual_weight=0.0",
)


def environment(**more: str) -> dict[str, str]:
    """The surroundings of a command: the checkout importable, CPU only, no Slurm job."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
    path = os.pathsep.join([str(ROOT), inherited.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return {**inherited, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu", **more}


def run(
    folder: Path, name: str, *flags: str, timeout: float = 300, **more: str
) -> subprocess.CompletedProcess[str]:
    """Runs `python -m experiments.NAME` in `folder` and waits for it."""
    return subprocess.run(
        [sys.executable, "-m", f"experiments.{name}", *flags],
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def processor_seconds() -> float:
    """What all finished commands have taken: a clock that other programs do not move."""
    taken = resource.getrusage(resource.RUSAGE_CHILDREN)
    return taken.ru_utime + taken.ru_stime


def refusal(result: subprocess.CompletedProcess[str]) -> str:
    """The one line of a refused command."""
    assert result.returncode == 1, result.stdout + result.stderr
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]
