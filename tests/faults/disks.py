"""Small disks for tests, as tmpfs."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mounts a tmpfs of `megabytes` at `folder`; skips the test where that is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a tmpfs cannot be mounted here ({getattr(error, 'stderr', error)})")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, *, leave: int = 0) -> Path:
    """Fills the disk of `folder` with one file, but for `leave` bytes."""
    filler = folder / "filler"
    with filler.open("wb") as file:
        for _ in range(100):
            free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
            try:
                os.posix_fallocate(file.fileno(), 0, max(free - leave, 1))
            except OSError as error:
                # A run that writes meanwhile was quicker.
                if error.errno != errno.ENOSPC:
                    raise
            else:
                break
    return filler
