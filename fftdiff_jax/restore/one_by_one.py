"""Restoring one photo or video after the other: what goes wrong with one is a line of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from fftdiff_jax.errors import Terminated, UserError, terminate
from fftdiff_jax.restore import ledger
from fftdiff_jax.words import counted, one_line

if TYPE_CHECKING:
    import numpy as np

    from fftdiff_jax.restore.folders import Job
    from fftdiff_jax.restore.restorer import Restorer

_MOST_HEARD = 10_000  # bytes of what libraries say of a photo


class Outcome(NamedTuple):
    """What became of a photo.

    Attributes:
      refusal: why it was not restored, in one line; nothing where it was.
      not_kept: what of its file is not in the restored one.
      warnings: what libraries said of it, and whether it should be looked at (`doubt.py`).
    """

    refusal: str = ""
    not_kept: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


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
    strength: float = 1.0,
    tripod: bool = False,
    frames: Callable[[int, int], None] = lambda done, total: None,
    explain: Callable[[BaseException], str | None] = lambda error: None,
) -> Outcome:
    """Restores one photo or video and writes it; whatever goes wrong is a line of the outcome.

    `strength` is `Restorer.blended`'s, `tripod` that of `clips.restore_clip`. `frames` hears how
    many of a video's are done, of how many.
    `explain` knows what the machine may lack, in one line.
    """
    from fftdiff_jax.data.images import load_photo
    from fftdiff_jax.restore import clips

    heard: list[str] = []
    if job.refusal:
        return Outcome(f"{job.source}: {job.refusal}")
    try:
        with listening(heard):
            mask = None if job.mask is None else load_photo(job.mask)
        other = ledger.other_source(job.target, job.source)
        if other:
            raise UserError(
                f"{job.source}: would take the place of {other.name} in --output, whose file "
                "system takes both names for one; restore it into another folder"
            )
        if strength != 1 or mask is not None:
            restorer = restorer.blended(strength, mask)
        warnings: tuple[str, ...] = ()
        if job.is_video:
            if len(job.results) > 1:
                raise UserError(f"{job.source}: is a video; variants and maps are made of photos")
            way: dict[str, Any] = {"draws": draws, "steps": steps, "seed": seed}
            way |= {"strength": strength, "tripod": tripod}
            not_kept = clips.restore_job(restorer, job, way, frames)
        else:
            not_kept, warnings = _restore(restorer, job, draws, steps, seed, heard)
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
    return Outcome(one_line(line), (), tuple(dict.fromkeys(heard)))


def _restore(
    restorer: Restorer,
    job: Job,
    draws: int | None,
    steps: int | None,
    seed: int,
    heard: list[str],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is not kept of the photo, and what Python's libraries say of it."""
    from fftdiff_jax.data.images import load_photo_file, save_photo, save_png
    from fftdiff_jax.pixels import to_uint8, to_unit
    from fftdiff_jax.restore import doubt, maps

    with listening(heard):
        photo = load_photo_file(job.source)
    options: dict[str, Any] = {"steps": steps, "seed": seed}
    if draws is not None:
        options["draws"] = draws
    spread: np.ndarray | None = None
    variants: Sequence[np.ndarray] = ()
    if job.variants:
        found = restorer.variants(photo.pixels, shown=len(job.variants), **options)
        restored, variants, spread = found.best, list(found.draws), found.spread
    elif job.spread is not None:
        restored, spread = restorer.with_spread(photo.pixels, **options)
    else:
        restored = restorer(photo.pixels, **options)
    lost: list[str] = []
    pictures = [(job.target, restored), *zip(job.variants, variants, strict=True)]
    with listening(heard):
        for place, pixels in pictures:
            lost += save_photo(place, pixels, photo)
            ledger.note(place, job.source, job.part)
    if job.spread is not None and spread is not None:
        save_png(job.spread, maps.guess_map(to_uint8(to_unit(photo.pixels)), spread))
        ledger.note(job.spread, job.source, job.part)
    doubts = doubt.warnings(photo.pixels, restored, masked=job.mask is not None)
    return tuple(dict.fromkeys([*photo.notes, *lost])), (*photo.warnings, *doubts)


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


def in_words(jobs: Sequence[Job]) -> str:
    """How many photos and videos there are, in words."""
    videos = sum(job.is_video for job in jobs)
    if not videos:
        return counted(len(jobs), "photo")
    filmed = counted(videos, "video")
    photos = len(jobs) - videos
    return f"{counted(photos, 'photo')} and {filmed}" if photos else filmed
