"""Photos that several processes restore into one folder: one plan for all, a record of each, a sum.

    OUTPUT/.shards/DIGEST/plan.jsonl   every photo and whose it is; the first process writes it
    OUTPUT/.shards/DIGEST/K.json       what became of the photos of shard K, when it ended last
    OUTPUT/summary.json                all of them, once every shard has ended

The photos are looked for once, and all shards go by what was found then: photos that come or change
while others are restored cannot shift from one shard to another. The digest tells plans of other
inputs, or of another number of shards, apart. Every file is whole or absent.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fftdiff_jax.errors import UserError
from fftdiff_jax.files import read_json, replacing, write_text
from fftdiff_jax.restore import ledger
from fftdiff_jax.restore.folders import Job
from fftdiff_jax.restore.shards import Shard, deal, file_size

FOLDER = ".shards"  # hidden, so that no search for photos looks into it
SUMMARY = "summary.json"
_LOCK = "planning.lock"


@dataclasses.dataclass(frozen=True)
class Sum:
    """What became of all photos of a plan.

    Attributes:
      photos: how many there are.
      restored: so many results are there.
      refused: a line for each photo that was not restored, which begins with its path.
      missing: so many are neither, as their shards were stopped or have not been started.
      unfinished: the shards that have not ended, and those that were ended early.
      hours: the processes' time together, in their last runs.
    """

    photos: int
    restored: int
    refused: tuple[str, ...]
    missing: int
    unfinished: tuple[int, ...]
    hours: float

    def text(self) -> str:
        """A line or two for a terminal."""
        lines = [
            f"all shards: {self.restored} of {self.photos} restored, {len(self.refused)} refused, "
            f"{self.missing} missing"
        ]
        if self.unfinished:
            shown = ", ".join(map(str, self.unfinished[:20]))
            more = f" and {len(self.unfinished) - 20} more" if len(self.unfinished) > 20 else ""
            lines.append(f"shards that have not ended: {shown}{more}; start these again")
        return "\n".join(lines)


class SharedWork:
    """The plan and the records of one shard among those that share an output folder."""

    def __init__(self, output: Path, shard: Shard, asked: Sequence[Any]) -> None:
        """Looks at nothing yet.

        Args:
          output: the folder of the results, absolute.
          shard: which this one is, of how many.
          asked: what tells this work from others into the same folder; goes into JSON.
        """
        words = json.dumps([shard.count, *asked]).encode()
        self.shard = shard
        self.output = output
        self.folder = output / FOLDER / hashlib.sha256(words).hexdigest()[:12]
        self._plan = self.folder / "plan.jsonl"

    def jobs(self, find: Callable[[], list[Job]]) -> list[Job]:
        """This shard's part of the photos that `find` finds, which is called if none did before.

        Raises:
          UserError: as `find`; or the plan cannot be written or read.
        """
        if not self._plan.exists():
            with _alone(self.folder):
                if not self._plan.exists():
                    self._write(self._found(find))
        part = ledger.Part(self.output, f"{self.shard.index}_of_{self.shard.count}")
        return [
            _job(values, self.output, part)
            for index, values in self._lines()
            if index == self.shard.index
        ]

    def _found(self, find: Callable[[], list[Job]]) -> list[Job]:
        """What `find` finds; where it refuses, no empty folders are left."""
        try:
            return find()
        except UserError:
            with contextlib.suppress(OSError):
                (self.folder / _LOCK).unlink()
                for folder in (self.folder, self.folder.parent, self.output):
                    folder.rmdir()
            raise

    def begin(self) -> None:
        """Forgets what an earlier run of this shard said, so that it counts as not ended."""
        with contextlib.suppress(OSError):
            self._record(self.shard.index).unlink()

    def end(
        self, *, photos: int, restored: int, refused: Sequence[str], ended: bool, seconds: float
    ) -> None:
        """Puts on record what became of this shard's photos.

        Args:
          photos: how many it has.
          restored: of these are there now.
          refused: a line for each photo that was not restored.
          ended: not `ended` where it was stopped before the last photo.
          seconds: that this run has taken.

        Raises:
          UserError: the record cannot be written.
        """
        about = {
            "shard": str(self.shard),
            "machine": socket.gethostname(),
            "photos": photos,
            "restored": restored,
            "refused": list(refused),
            "ended": ended,
            "seconds": round(seconds, 1),
        }
        write_text(self._record(self.shard.index), json.dumps(about, indent=1) + "\n")

    def summarise(self, *, counted: bool = False) -> Sum | None:
        """Adds all shards up, and writes the sum; None where some have not ended.

        `counted`: looks for the results of such shards one by one, so there is always a sum.

        Raises:
          UserError: there is no plan, or a file cannot be read or written.
        """
        records = {index: self._read(index) for index in range(self.shard.count)}
        ended = {index for index, record in records.items() if record and record.get("ended")}
        late = tuple(index for index in range(self.shard.count) if index not in ended)
        if late and not counted:
            return None
        known = [record for record in records.values() if record]
        refused = [str(line) for record in known for line in record.get("refused", [])]
        whole = [record for index in ended if (record := records[index])]
        restored = sum(int(record["restored"]) for record in whole)
        photos = sum(int(record["photos"]) for record in whole)
        if late:
            if not self._plan.exists():
                raise UserError(f"{self.output}: no shard of {self.shard.count} was started there")
            for index, values in self._lines():
                if index not in ended:
                    photos += 1
                    restored += int(all(p.exists() for p in _job(values, self.output).results))
        found = Sum(
            photos=photos,
            restored=restored,
            refused=tuple(refused),
            missing=max(0, photos - restored - len(refused)),
            unfinished=late,
            hours=sum(float(record.get("seconds", 0)) for record in known) / 3600,
        )
        about = {"shards": self.shard.count, **dataclasses.asdict(found)}
        write_text(self.output / SUMMARY, json.dumps(about, indent=1) + "\n")
        return found

    def _write(self, jobs: Sequence[Job]) -> None:
        """The plan of all photos; another process's stays where both have written one."""
        shards = deal([file_size(job.source) for job in jobs], self.shard.count)
        with replacing(self._plan) as temporary, temporary.open("w", encoding="ascii") as file:
            for index, job in zip(shards, jobs, strict=True):
                file.write(json.dumps([index, *_values(job, self.output)]) + "\n")
            # Without an end a plan counts for nothing: not every store moves whole files.
            file.write(json.dumps({"photos": len(jobs)}) + "\n")

    def _lines(self) -> Iterator[tuple[int, list[Any]]]:
        try:
            with self._plan.open("rb") as file:
                for number, line in enumerate(file):
                    found = json.loads(line)
                    if isinstance(found, dict):
                        if found["photos"] != number:
                            break
                        return
                    yield found[0], found[1:]
        except OSError as error:
            raise UserError(f"{self._plan}: cannot be read ({error.strerror})") from error
        except (ValueError, TypeError, LookupError):
            pass
        raise UserError(f"{self._plan}: is damaged; remove it, and the next shard plans anew")

    def _record(self, index: int) -> Path:
        return self.folder / f"{index}.json"

    def _read(self, index: int) -> dict[str, Any] | None:
        try:
            found = read_json(self._record(index))
        except (FileNotFoundError, UserError):
            return None
        whole = isinstance(found, dict) and {"photos", "restored"} <= found.keys()
        return found if whole else None


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lets one process after the other through, where the file system has locks.

    Elsewhere several plan at once, which costs time; they find the same photos.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror}); choose another --output"
        ) from error
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _values(job: Job, output: Path) -> list[Any]:
    """A job in JSON: results by their places below the output folder."""
    target, *others = (place.relative_to(output).as_posix() for place in job.results)
    mask = None if job.mask is None else str(job.mask.absolute())
    return [str(job.source), target, others, job.spread is not None, job.refusal, mask]


def _job(values: Sequence[Any], output: Path, part: ledger.Part | None = None) -> Job:
    source, target, others, mapped, refusal, mask = values
    beside = [output / name for name in others]
    return Job(
        Path(source),
        output / target,
        beside.pop() if mapped else None,
        tuple(beside),
        refusal,
        None if mask is None else Path(mask),
        part,
    )
