"""Which photos are restored to where, without costing anybody a photo; and doing it.

Names, sizes and formats stay. What is given is never written to.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from fftdiff_jax.errors import Terminated, UserError, terminate
from fftdiff_jax.restore import ledger
from fftdiff_jax.restore.found import find_photos

if TYPE_CHECKING:
    from fftdiff_jax.restore.restorer import Restorer

DRAWS_OF_A_MAP = 8  # of a map of the spread, where no number of draws is asked for
_LONGEST_NAME = 255  # bytes, on all common file systems
_MOST_HEARD = 10_000  # bytes of what libraries say of a photo


@dataclasses.dataclass(frozen=True)
class Job:
    """A photo, where it goes, and where the map of the draws' spread goes."""

    source: Path
    target: Path
    spread: Path
    refusal: str = ""  # why it is not restored


class Outcome(NamedTuple):
    """What became of a photo.

    Attributes:
      refusal: why it was not restored, in one line; nothing where it was.
      not_kept: what of its file is not in the restored one.
      warnings: what libraries said of it.
    """

    refusal: str = ""
    not_kept: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def plan(pattern: str, output: Path, *, maps: bool = False, keep: bool = False) -> list[Job]:
    """Says what is restored to where, and refuses what would cost a photo of the user's.

    Args:
      pattern: a photo, a folder, or a pattern with wildcards.
      output: the folder, absolute.
      maps: whether maps of the spread are written too.
      keep: whether what is there already is left alone.

    Raises:
      UserError: nothing to restore, a place that cannot be written, or one that photos lie in that
        are no results.
    """
    try:
        return _plan(pattern, output, maps, keep)
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise UserError(
            f"{pattern[:100]}, --output {str(output)[:100]}: cannot be used "
            f"({(error.strerror or str(error)).lower()}); choose other ones"
        ) from error


def _plan(pattern: str, output: Path, maps: bool, keep: bool) -> list[Job]:
    root, found = find_photos(pattern)
    refusals = {one.path: one.refusal for one in found}
    below = _within(list(refusals), root, output)
    if below and not keep:
        raise UserError(
            f"--output {output}: lies within the input and holds photos, such as {below[0].name}; "
            "choose an empty folder or one elsewhere, or --skip_existing to go on"
        )
    results = frozenset(below)
    sources = [path for path in refusals if path not in results]
    if not sources:
        raise UserError(f"{pattern}: no photo there but those in --output")
    targets = [output / (path.relative_to(root) if root else path.name) for path in sources]
    # A map is called after its photo's stem where that is clear, else after its whole name.
    stems = collections.Counter(target.with_suffix("") for target in targets)
    spreads = [
        target.with_name(
            _map_name(target.stem if stems[target.with_suffix("")] == 1 else target.name)
        )
        for target in targets
    ]
    clash = set(targets) & set(spreads) if maps else set()
    if clash:
        raise UserError(
            f"{pattern}: {min(clash).name} is a photo, and the name of another photo's map "
            "of the spread; restore them into two folders"
        )
    _require_writable(output)
    _refuse_overwriting(sources, [*targets, *(spreads if maps else [])])
    refused = [refusals[path] for path in sources]
    return [Job(*job) for job in zip(sources, targets, spreads, refused, strict=True)]


def until_interrupted(waiting: Sequence[Job]) -> Iterator[Job]:
    """Yields what is to be restored; Ctrl-C or SIGTERM ends it before the next photo at the latest.

    Raised inside a call that a library makes back into Python, KeyboardInterrupt can be lost there.

    Raises:
      KeyboardInterrupt: Ctrl-C was heard during the photo before; `Terminated`: SIGTERM was.
    """
    raising = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: terminate}
    heard: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        raising[signal.Signals(number)](number, frame)

    # Not where they are ignored, as behind nohup.
    taken = [number for number, usual in raising.items() if signal.getsignal(number) is usual]
    for number in taken:
        signal.signal(number, note)
    try:
        for job in waiting:
            if heard:
                raise Terminated if heard[0] == signal.SIGTERM else KeyboardInterrupt
            yield job
    finally:
        for number in taken:
            if signal.getsignal(number) is note:
                signal.signal(number, raising[number])


def restore(
    restorer: Restorer,
    job: Job,
    *,
    draws: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    spread: bool = False,
    explain: Callable[[BaseException], str | None] = lambda error: None,
) -> Outcome:
    """Restores one photo and writes it; whatever goes wrong with it is a line of the outcome.

    `explain` knows what the machine may lack, in one line.
    """
    heard: list[str] = []
    if job.refusal:
        return Outcome(f"{job.source}: {job.refusal}")
    try:
        not_kept, warnings = _restore(restorer, job, draws, steps, seed, spread, heard)
    except UserError as error:
        line = str(error)
    except MemoryError:
        line = f"{job.source}: does not fit into memory; cut or shrink it first"
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        known = explain(error) or f"{type(error).__name__}: {text}; a mistake of this program"
        line = f"{job.source}: {known}"
    else:
        return Outcome("", not_kept, tuple(dict.fromkeys([*warnings, *heard])))
    return Outcome("\\n".join(line.splitlines()), (), tuple(dict.fromkeys(heard)))


def _restore(
    restorer: Restorer,
    job: Job,
    draws: int | None,
    steps: int | None,
    seed: int,
    spread: bool,
    heard: list[str],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is not kept of the photo, and what Python's libraries say of it."""
    from fftdiff_jax.data.images import load_photo_file, save_photo, save_png
    from fftdiff_jax.pixels import to_uint8, to_unit
    from fftdiff_jax.restore import maps

    with listening(heard):
        photo = load_photo_file(job.source)
    options: dict[str, Any] = {"steps": steps, "seed": seed}
    deviation = None
    if spread:
        draws = draws or DRAWS_OF_A_MAP
        restored, deviation = restorer.with_spread(photo.pixels, draws=draws, **options)
    else:
        restored = restorer(photo.pixels, draws=draws, **options)
    with listening(heard):
        lost = save_photo(job.target, restored, photo)
    ledger.note(job.target, job.source)
    if deviation is not None:
        save_png(job.spread, maps.guess_map(to_uint8(to_unit(photo.pixels)), deviation))
        ledger.note(job.spread, job.source)
    return tuple(dict.fromkeys([*photo.notes, *lost])), photo.warnings


@contextlib.contextmanager
def listening(heard: list[str]) -> Iterator[None]:
    """Takes down what libraries of C write to standard error, which names no photo."""
    try:
        sys.stderr.flush()
        before = os.dup(2)
    except (OSError, ValueError, AttributeError):
        yield
        return
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)
            file.seek(0)
            lines = file.read(_MOST_HEARD).decode("utf-8", "backslashreplace").splitlines()
            heard += [line.strip() for line in lines if line.strip()]


def require_own_targets(jobs: Sequence[Job]) -> None:
    """Raises `UserError` where two photos would go to one place, or one into another's.

    For jobs of several patterns, each of which was planned by itself.
    """
    places: dict[Path, Path] = {}
    for job in jobs:
        other = places.setdefault(job.target, job.source)
        if other != job.source:
            raise UserError(
                f"{other} and {job.source} would both be restored to {job.target}; "
                "restore them into two folders"
            )
    _refuse_overwriting([job.source for job in jobs], [job.target for job in jobs])


def require_own_results(jobs: Sequence[Job], maps: bool, keep: bool) -> None:
    """Raises `UserError` where a file would be replaced that is no result of the same photo.

    With `keep` files stay as they are; but one that came from another photo is not this one's.
    """
    jobs = [job for job in jobs if not job.refusal]
    folders = {job.target.parent for job in jobs}
    known = {folder: ledger.sources(folder) for folder in folders}
    for job in jobs:
        for place in (job.target, job.spread) if maps else (job.target,):
            source = known[place.parent].get(place.name)
            if source == job.source or not os.path.lexists(place) or (keep and source is None):
                continue
            origin = f"restored from {source}" if source else "and no result of this photo"
            others = "" if keep else ", --skip_existing keeps it, --overwrite replaces it"
            raise UserError(
                f"{job.source}: {place} is there already, {origin}; take another --output{others}"
            )


def _within(photos: Sequence[Path], root: Path | None, output: Path) -> list[Path]:
    """The photos that lie in the output folder, where that lies below the folder of the input."""
    if root is None or not output.resolve().is_relative_to(root.resolve()):
        return []
    inner = output.resolve().relative_to(root.resolve()).parts
    return [
        path for path in photos if inner and path.relative_to(root).parts[: len(inner)] == inner
    ]


def _require_writable(folder: Path) -> None:
    """Finds before the first photo that none could be written."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise UserError(f"--output {folder}: {there} is a file; choose a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"--output {folder}: {there} may not be written to; choose another folder")


def _refuse_overwriting(sources: Sequence[Path], targets: Sequence[Path]) -> None:
    """No result may take the place of any photo of the input, whatever its path is called."""
    inputs = {(s.st_dev, s.st_ino): path for path in sources if (s := _status(path)) is not None}
    for target in targets:
        status = _status(target)
        if status is not None and (status.st_dev, status.st_ino) in inputs:
            path = inputs[status.st_dev, status.st_ino]
            raise UserError(f"--output: {target} would overwrite {path}; choose another folder")


def _map_name(stem: str) -> str:
    """A file name for the map of a photo that is called so, no longer than names may be."""
    ending = ".uncertainty.png"
    if len(os.fsencode(stem + ending)) > _LONGEST_NAME:
        mark = hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]
        kept = os.fsencode(stem)[: _LONGEST_NAME - len(ending) - 9].decode("utf-8", "ignore")
        stem = f"{kept}-{mark}"
    return stem + ending


def _status(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def photos(count: int) -> str:
    return f"{count} photo{'s' * (count != 1)}"
