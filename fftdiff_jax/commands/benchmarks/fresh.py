"""Measurements in processes of their own, each answered by `worker`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fftdiff_jax import config as configuration
from fftdiff_jax.config import Config
from fftdiff_jax.errors import UserError

Row = dict[str, Any]


def in_fresh_process(kind: str, config: Config | None = None, **options: Any) -> Row:
    """Runs one measurement of `worker` and returns {"result", "device", "versions"}.

    Raises:
      UserError: the process failed; the message is the last line that it wrote.
    """
    return in_fresh_processes(kind, config, [{}], **options)[0]


def in_fresh_processes(
    kind: str, config: Config | None, surroundings: Sequence[Mapping[str, str]], **options: Any
) -> list[Row]:
    """Runs one measurement in several processes at once, and returns what each answers.

    Args:
      kind: one of `worker`'s.
      config: what to measure.
      surroundings: variables of each process's environment, added to this one's.
      options: of the measurement.

    Raises:
      UserError: a process failed; the message is the last line that it wrote.
    """
    request = {"kind": kind, "options": options}
    if config is not None:
        request["config"] = configuration.to_dict(config)
    # From any folder: the worker must find this checkout.
    root = str(Path(__file__).parents[3])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "fftdiff_jax.commands.benchmarks.worker"],
            env={**os.environ, "PYTHONPATH": path, **added},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for added in surroundings
    ]
    try:
        # All get their request before any is waited for: they may wait for each other.
        for process in processes:
            assert process.stdin
            process.stdin.write(json.dumps(request))
            process.stdin.close()
            process.stdin = None
        said = [process.communicate() for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, errors) in zip(processes, said, strict=True):
        if process.returncode != 0:
            lines = [line for line in errors.splitlines() if line.strip()]
            last = lines[-1].removeprefix("error: ") if lines else f"code {process.returncode}"
            raise UserError(f"benchmark {kind}: {last}")
    return [json.loads(output.splitlines()[-1]) for output, _ in said]
