"""Which files this command wrote, and from which photos, so that it replaces no others.

Kept in the user's folder for the state of programs, one file for each folder of results, one line
for each result. What is not on record, or was changed since, counts as the user's own.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path


def note(target: Path, source: Path) -> None:
    """Puts on record that `target` was written from `source`; it is no loss where that fails."""
    with suppress(OSError):
        status = target.stat()
        line = [target.name, status.st_size, status.st_mtime_ns, str(source)]
        record = _record(target.parent)
        record.parent.mkdir(parents=True, exist_ok=True)
        with record.open("ab") as file:
            file.write(json.dumps(line).encode() + b"\n")


def sources(folder: Path) -> dict[str, Path]:
    """Names of files in a folder that are as this command wrote them, and what they came from."""
    found: dict[str, tuple[int, int, str]] = {}
    with suppress(OSError):
        for line in _record(folder).read_bytes().splitlines():
            with suppress(ValueError, TypeError):
                name, size, changed, source = json.loads(line)
                found[str(name)] = int(size), int(changed), str(source)
    known = {}
    for name, (size, changed, source) in found.items():
        with suppress(OSError, ValueError):
            status = (folder / name).stat()
            if (status.st_size, status.st_mtime_ns) == (size, changed):
                known[name] = Path(source)
    return known


def _record(folder: Path) -> Path:
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    place = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]
    return Path(state) / "fftdiff_jax" / "restored" / place
