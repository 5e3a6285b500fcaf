"""Which photos are restored to where, without costing anybody a photo; and doing it.

Names, sizes and formats stay. What is given is never written to.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from fftdiff_jax.data.images import PHOTO_SUFFIXES
from fftdiff_jax.errors import UserError

if TYPE_CHECKING:
    from fftdiff_jax.restore.restorer import Restorer

LEAST_DRAWS_OF_A_MAP = 8  # of a map of the spread, where no number of draws is asked for
WHITEST_SPREAD = 0.2  # a deviation of a fifth of the range, 51 grey levels, is white


@dataclasses.dataclass(frozen=True)
class Job:
    """A photo, where it goes, and where the map of the draws' spread goes."""

    source: Path
    target: Path
    spread: Path


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
    below = _within(found, root, output)
    if below and not keep:
        raise UserError(
            f"--output {output}: lies within the input and holds photos, such as {below[0].name}; "
            "choose an empty folder or one elsewhere, or --skip_existing to go on"
        )
    results = frozenset(below)
    sources = [path for path in found if path not in results]
    if not sources:
        raise UserError(f"{pattern}: no photo there but those in --output")
    targets = [output / (path.relative_to(root) if root else path.name) for path in sources]
    # A map is called after its photo's stem where that is clear, else after its whole name.
    stems = collections.Counter(target.with_suffix("") for target in targets)
    spreads = [
        target.with_name(
            f"{target.stem if stems[target.with_suffix('')] == 1 else target.name}.uncertainty.png"
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
    return [Job(*job) for job in zip(sources, targets, spreads, strict=True)]


def find_photos(pattern: str) -> tuple[Path | None, list[Path]]:
    """The photos that a pattern names, absolute, and the folder that they are searched below.

    Hidden files and folders are passed over, as data of the system (and of this command, when it
    was killed). Links to nothing count, so that they are reported. One photo has no folder.

    Raises:
      UserError: nothing there, or no photo in it.
    """
    path = Path(os.path.abspath(os.path.expanduser(pattern)))
    if path.is_file():
        return None, [path]
    if path.is_dir():
        root, found = path, sorted(path.rglob("*"))
    else:
        root = _fixed_part(path)
        found = sorted(root.glob(str(path.relative_to(root)))) if root != path else []
        if not found:
            raise UserError(f"{pattern}: there is no such photo or folder")
    photos = [
        p
        for p in found
        if p.suffix.lower() in PHOTO_SUFFIXES
        and not any(part.startswith((".", "__MACOSX")) for part in p.relative_to(root).parts)
        and (p.is_file() or (p.is_symlink() and not p.exists()))
    ]
    if not photos:
        known = ", ".join(sorted(PHOTO_SUFFIXES))
        raise UserError(f"{pattern}: no photo there (looked for {known})")
    return root, photos


def until_interrupted(waiting: Sequence[Job]) -> Iterator[Job]:
    """Yields what is to be restored; Ctrl-C ends it before the next photo at the latest.

    Raised inside a call that a library makes back into Python, KeyboardInterrupt can be lost there.

    Raises:
      KeyboardInterrupt: Ctrl-C was heard during the photo before.
    """
    before = signal.getsignal(signal.SIGINT)
    heard: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        raise KeyboardInterrupt

    if before is signal.default_int_handler:  # not where it is ignored, as behind nohup
        signal.signal(signal.SIGINT, note)
    try:
        for job in waiting:
            if heard:
                raise KeyboardInterrupt
            yield job
    finally:
        if signal.getsignal(signal.SIGINT) is note:
            signal.signal(signal.SIGINT, before)


def restore(
    restorer: Restorer,
    job: Job,
    *,
    draws: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    spread: bool = False,
) -> str:
    """Restores one photo and writes it; says in one line why it could not, or nothing."""
    try:
        _restore(restorer, job, draws, steps, seed, spread)
    except UserError as error:
        return " ".join(str(error).split("\n"))
    except MemoryError:
        return f"{job.source}: does not fit into memory; cut or shrink it first"
    return ""


def _restore(
    restorer: Restorer, job: Job, draws: int | None, steps: int | None, seed: int, spread: bool
) -> None:
    from fftdiff_jax.data.images import load_photo_file, save_photo, save_png
    from fftdiff_jax.pixels import to_uint8

    photo = load_photo_file(job.source)
    options: dict[str, Any] = {"steps": steps, "seed": seed, "bits": photo.bits}
    if not spread:
        save_photo(job.target, restorer(photo.pixels, draws=draws, **options), photo)
        return
    draws = draws or LEAST_DRAWS_OF_A_MAP
    restored, deviation = restorer.with_spread(photo.pixels, draws=draws, **options)
    save_photo(job.target, restored, photo)
    save_png(job.spread, to_uint8(deviation / WHITEST_SPREAD))


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


def _status(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _fixed_part(path: Path) -> Path:
    """The folders of an absolute pattern before its first wildcard."""
    fixed = Path(path.anchor)
    for part in path.parts[1:]:
        if any(mark in part for mark in "*?["):
            return fixed
        fixed = fixed / part
    return fixed


def photos(count: int) -> str:
    return f"{count} photo{'s' * (count != 1)}"
