"""Seconds from the command to the first finished step, without and with what runs leave behind."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fftdiff_jax import config as configuration
from fftdiff_jax.config import Config
from fftdiff_jax.errors import UserError

LONGEST_SECONDS = 1800
_CONFIG_FILE = """
import json
from fftdiff_jax import config

def get_config():
    return config.from_dict(json.loads({tree!r}))
"""


def measure_startup(config: Config, repeats: int) -> dict[str, Any]:
    """Starts `fftdiff-jax train` with empty caches, then again with those that this filled.

    The caches are those of compiled programs and of decoded and embedded photos. Python's own
    compiled files and the system's file cache are warm both times.
    """
    cold, cached = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            cold.append(_seconds_to_first_step(config, Path(folder), "cold"))
            cached.append(_seconds_to_first_step(config, Path(folder), "cached"))
    return {
        "cold_seconds": statistics.median(cold),
        "cached_seconds": statistics.median(cached),
        "spread": {
            name: {"least": min(seconds), "most": max(seconds), "runs": len(seconds)}
            for name, seconds in (("cold", cold), ("cached", cached))
        },
    }


def _seconds_to_first_step(config: Config, folder: Path, name: str) -> float:
    """Runs the command until metrics.csv has its first row, which awaits the step; kills it."""
    every_step = dataclasses.replace(config.training, log_every=1)
    data = dataclasses.replace(config.data, cache_dir=str(folder / "photos"))
    config = dataclasses.replace(config, training=every_step, data=data)
    file = folder / "startup.py"
    file.write_text(
        _CONFIG_FILE.format(tree=json.dumps(configuration.to_dict(config))), encoding="utf-8"
    )
    workdir = folder / name
    root = str(Path(__file__).parents[3])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "fftdiff_jax", "train", f"--config={file}", "--noprogress"]
    start = time.perf_counter()
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--workdir={workdir}", f"--compilation_cache={folder / 'xla'}"],
            env={**os.environ, "PYTHONPATH": path},
            stdout=log,
            stderr=log,
        )
        try:
            while not _has_row(workdir / "metrics.csv"):
                if process.poll() is not None or time.perf_counter() - start > LONGEST_SECONDS:
                    said = (folder / f"{name}.log").read_text(errors="replace").splitlines()
                    raise UserError(
                        f"benchmark startup: no step finished; the command's last line: {said[-1:]}"
                    )
                time.sleep(0.01)
            return time.perf_counter() - start
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _has_row(path: Path) -> bool:
    try:
        return path.read_bytes().count(b"\n") >= 2
    except OSError:
        return False
