"""Which photos and videos are restored to where, without costing anybody a photo.

Names, sizes and formats stay. What is given is never written to.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from fftdiff_jax.data.formats import VIDEO_SUFFIXES
from fftdiff_jax.errors import UserError
from fftdiff_jax.restore import ledger
from fftdiff_jax.restore.found import Found, find_photos

_LONGEST_NAME = 255  # bytes, on all common file systems


@dataclasses.dataclass(frozen=True)
class Job:
    """A photo, and where everything goes that is made of it."""

    source: Path
    target: Path
    spread: Path | None = None  # of the map of the draws' spread, where one is wanted
    variants: tuple[Path, ...] = ()  # of single draws
    refusal: str = ""  # why it is not restored
    mask: Path | None = None  # white where it stays as it is
    part: ledger.Part | None = None  # of the record, where several processes share the photos

    @property
    def results(self) -> tuple[Path, ...]:
        """All files that are written."""
        maps = () if self.spread is None else (self.spread,)
        return (self.target, *self.variants, *maps)

    @property
    def is_video(self) -> bool:
        """By its name."""
        return self.source.suffix.lower() in VIDEO_SUFFIXES


def plan(
    pattern: str,
    output: Path,
    *,
    maps: bool = False,
    variants: int = 0,
    keep: bool = False,
    listed: tuple[Path, Sequence[Found]] | None = None,
    looked: bool = True,
) -> list[Job]:
    """Says what is restored to where, and refuses what would cost a photo of the user's.

    Args:
      pattern: a photo, a folder, or a pattern with wildcards.
      output: the folder, absolute.
      maps: whether maps of the spread are written too.
      variants: how many single draws are.
      keep: whether what is there already is left alone.
      listed: the photos of a list and the folder above them; `pattern` is then the list's name.
      looked: look for results that would replace photos; else `require_own_targets` has to.

    Raises:
      UserError: nothing to restore, a place that cannot be written, or one that photos lie in that
        are no results.
    """
    try:
        found = find_photos(pattern) if listed is None else listed
        return _plan(pattern, found, output, maps, variants, keep, looked)
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise UserError(
            f"{pattern[:100]}, --output {str(output)[:100]}: cannot be used "
            f"({(error.strerror or str(error)).lower()}); choose other ones"
        ) from error


def _plan(
    pattern: str,
    photos: tuple[Path | None, Sequence[Found]],
    output: Path,
    maps: bool,
    variants: int,
    keep: bool,
    looked: bool,
) -> list[Job]:
    root, found = photos
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
    targets = [
        _written_as(output / (path.relative_to(root) if root else path.name)) for path in sources
    ]
    # What else is made of a photo is called after its stem, or its name where stems are shared.
    stems = collections.Counter(target.with_suffix("") for target in targets)
    jobs = []
    for source, target in zip(sources, targets, strict=True):
        stem = target.stem if stems[target.with_suffix("")] == 1 else target.name
        beside = [
            target.with_name(_name(stem, f".variant{i + 1}{target.suffix}"))
            for i in range(variants)
        ]
        spread = target.with_name(_name(stem, ".uncertainty.png")) if maps else None
        jobs.append(Job(source, target, spread, tuple(beside), refusals[source]))
    clash = set(targets).intersection(place for job in jobs for place in job.results[1:])
    if clash:
        raise UserError(
            f"{pattern}: {min(clash).name} is a photo, and the name of what is made of another; "
            "restore them into two folders"
        )
    _require_writable(output)
    if looked:
        _refuse_overwriting(sources, [place for job in jobs for place in job.results])
    return jobs


def require_own_targets(jobs: Sequence[Job], *, looked: bool = True) -> None:
    """Raises `UserError` where two photos would go to one place, or one into another's.

    For jobs of several patterns, each of which was planned by itself. Not `looked`: by their names
    alone, without a look at any file.
    """
    places: dict[Path, Path] = {}
    for job in jobs:
        if job.source == job.target:
            raise UserError(f"--output: {job.target} would overwrite itself; choose another folder")
        for place in job.results:
            if place in places:
                raise UserError(
                    f"{places[place]} and {job.source} would share {place}; "
                    "restore them into two folders"
                )
            places[place] = job.source
    if looked:
        _refuse_overwriting(
            [job.source for job in jobs], [place for job in jobs for place in job.results]
        )


def require_own_results(jobs: Sequence[Job], keep: bool) -> None:
    """Raises `UserError` where a file would be replaced that is no result of the same photo.

    With `keep` files stay as they are; but one that came from another photo is not this one's.
    """
    jobs = [job for job in jobs if not job.refusal]
    there = {place for job in jobs for place in job.results if os.path.lexists(place)}
    known = ledger.origins(there)
    for job in jobs:
        for place in job.results:
            source = known.get(place)
            if source == job.source or place not in there or (keep and source is None):
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
    there = {target: status for target in targets if (status := _status(target)) is not None}
    if not there:
        return
    inputs = {(s.st_dev, s.st_ino): path for path in sources if (s := _status(path)) is not None}
    for target, status in there.items():
        if (status.st_dev, status.st_ino) in inputs:
            path = inputs[status.st_dev, status.st_ino]
            raise UserError(f"--output: {target} would overwrite {path}; choose another folder")


def _name(stem: str, ending: str) -> str:
    """A file name for what is made of a photo that is called so, no longer than names may be."""
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


def _written_as(path: Path) -> Path:
    """Videos come in the containers that can be written."""
    suffix = path.suffix.lower()
    container = VIDEO_SUFFIXES.get(suffix, suffix)
    return path if container == suffix else path.with_suffix(container)
