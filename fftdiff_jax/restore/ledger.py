"""Which files this command wrote, and from which photos, so that it replaces no others.

Kept in the user's folder for the state of programs, one file for each folder of results, one line
for each result. What is not on record, or was changed since, counts as the user's own.

Processes that share the photos of one folder have a file each, for all its subfolders: on file
systems of several machines two that append to one file write over each other's lines.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Part:
    """One of several processes that write below a folder at once: its own file of the record."""

    folder: Path
    name: str


# Of what this process wrote: size, time and source by the place on the disk.
_written: dict[tuple[int, int], tuple[int, int, Path]] = {}


def other_source(target: Path, source: Path) -> Path | None:
    """Another photo than `source` that this process has just restored to `target`, if any.

    Where a file system takes A.jpg and a.jpg, or two spellings of an accent, for one name.
    """
    with suppress(OSError):
        status = target.stat()
        found = _written.get((status.st_dev, status.st_ino))
        if found and found[:2] == (status.st_size, status.st_mtime_ns) and found[2] != source:
            return found[2]
    return None


def note(target: Path, source: Path, part: Part | None = None) -> None:
    """Puts on record that `target` was written from `source`; it is no loss where that fails.

    `part` is this process, where others write below the same folder.
    """
    with suppress(OSError):
        status = target.stat()
        about = status.st_size, status.st_mtime_ns, source
        _written[status.st_dev, status.st_ino] = about
        name, record = target.name, _record(target.parent)
        if part is not None:
            name = target.relative_to(part.folder).as_posix()
            record = _shared(part.folder) / part.name
        if record.exists() and not record.is_file():  # a pipe would wait for ever
            return
        record.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps([name, status.st_size, status.st_mtime_ns, str(source)])
        with record.open("ab") as file:
            # The newline before it ends a line that was cut short when a process was killed.
            file.write(f"\n{line}\n".encode())


def origins(places: Iterable[Path]) -> dict[Path, Path]:
    """What those of the files came from that are as this command wrote them."""
    wanted = set(places)
    folders = {place.parent for place in wanted}
    above = {folder for inner in folders for folder in (inner, *inner.parents)}
    # By size and time as well: of the lines about one file at most one is still true.
    found: dict[tuple[Path, int, int], str] = {}
    records = [(folder, _record(folder)) for folder in folders]
    records += [(folder, record) for folder in above for record in _parts(folder)]
    for folder, record in records:
        with suppress(OSError):
            for line in record.read_bytes().splitlines() if record.is_file() else ():
                with suppress(ValueError, TypeError, RecursionError):
                    name, size, changed, source = json.loads(line)
                    if (place := folder / str(name)) in wanted:
                        found[place, int(size), int(changed)] = str(source)
    known = {}
    for place in {place for place, _, _ in found}:
        with suppress(OSError, ValueError):
            status = place.stat()
            origin = found.get((place, status.st_size, status.st_mtime_ns))
            if origin is not None:
                known[place] = Path(origin)
    return known


def _record(folder: Path) -> Path:
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    place = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]
    return Path(state) / "fftdiff_jax" / "restored" / place


def _shared(folder: Path) -> Path:
    """Where the records lie of processes that share what is restored into a folder."""
    return _record(folder).with_suffix(".shards")


def _parts(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(_shared(folder).iterdir())
    return []
