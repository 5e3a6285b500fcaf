"""Restoring a video, frame by frame, so that a killed one goes on where it stopped.

Finished parts lie in a hidden folder beside the result, with a note of what they belong to. They
are joined at the end, what was written is read back, and only then it has its name.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from fftdiff_jax import files
from fftdiff_jax.data.video import clip as reading
from fftdiff_jax.data.video import write as writing
from fftdiff_jax.data.video.clip import Clip, Frame
from fftdiff_jax.errors import UserError
from fftdiff_jax.restore import ledger
from fftdiff_jax.restore.steady import steadied

if TYPE_CHECKING:
    from fftdiff_jax.restore.folders import Job
    from fftdiff_jax.restore.restorer import Restorer

SEGMENT_FRAMES = 30  # what a kill costs at most; each part begins with a key frame
_NOTE = "parts.json"


def restore_job(
    restorer: Restorer, job: Job, way: dict[str, Any], frames: Callable[[int, int], None]
) -> tuple[str, ...]:
    """Restores the video of a job, and puts it on record; what is not kept, in words.

    `way` holds draws, steps, seed, strength and tripod. The network's weights and its defaults are
    part of what the parts of an earlier call must agree in.
    """
    quiet = restorer.watched(lambda tiles: None)
    options = {name: way[name] for name in ("draws", "steps", "seed")}
    mask = None if job.mask is None else hashlib.sha256(job.mask.read_bytes()).hexdigest()
    leaves = jax.tree.leaves(restorer.params)
    weights = hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves)).hexdigest()
    sampling = dataclasses.asdict(restorer.config.sampling)
    settings = {**way, "mask": mask, "weights": weights, "sampling": sampling}
    not_kept = restore_clip(
        lambda frame: quiet(frame, **options),
        job.source,
        job.target,
        settings,
        frames,
        tripod=way["tripod"],
    )
    ledger.note(job.target, job.source, job.part)
    return not_kept


def restore_clip(
    restore: Callable[[Frame], Frame],
    source: Path,
    target: Path,
    settings: dict[str, Any],
    watch: Callable[[int, int], None] = lambda done, total: None,
    *,
    tripod: bool = False,
) -> tuple[str, ...]:
    """Restores all frames of a video and copies the rest of it; what is not kept, in words.

    Args:
      restore: of an upright frame, uint8 or uint16, one of the same size and type.
      source: the video.
      target: the result; its suffix is one of those that `formats.VIDEO_SUFFIXES` are written as.
      settings: what the result depends on beside the video, for JSON. Parts that another call
        with the same left are used, and others are thrown away.
      watch: told how many frames are done, of how many.
      tripod: the camera stands still, so neighbours in time are used (`steady.py`).

    Raises:
      UserError: the video cannot be read, or the result cannot be written.
    """
    clip = reading.survey(source)
    folder = parts_folder(target)
    count = len(clip.times)
    _take_up(folder, _note(source, clip, settings))
    starts = range(0, count, SEGMENT_FRAMES)
    parts = [folder / f"{start:09d}{writing.SEGMENT}" for start in starts]
    whole = 0
    for start, part in zip(starts, parts, strict=True):
        if writing.frame_count(part) != min(SEGMENT_FRAMES, count - start):
            break  # none is there, or one that a lost machine left half-written
        whole += 1
    begin = min(whole * SEGMENT_FRAMES, count)
    watch(begin, count)
    # The neighbour before the first frame was restored for the part before.
    first = max(begin - 1, 0) if tripod else begin
    restored = map(restore, reading.frames(clip, first))
    waiting = steadied(restored) if tripod else restored
    _write_parts(itertools.islice(waiting, begin - first, None), clip, parts[whole:], begin, watch)
    with files.replacing(target) as temporary:
        joined = writing.join(temporary, clip, parts)
        writing.require_whole(temporary, clip, joined.sounds, target)
    shutil.rmtree(folder, ignore_errors=True)
    moved = source.suffix.lower() != target.suffix.lower()
    container = (f"the container: written as {target.suffix.lower()[1:]}",) if moved else ()
    return (*clip.notes, *container, *joined.not_kept)


def parts_folder(target: Path) -> Path:
    """Where the finished parts of a result lie; short, for names may be as long as they can be."""
    mark = hashlib.sha256(target.name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return target.with_name(f".{mark}.parts")


def _write_parts(
    waiting: Iterator[Frame],
    clip: Clip,
    parts: list[Path],
    begin: int,
    watch: Callable[[int, int], None],
) -> None:
    done = begin

    def some(number: int) -> Iterator[Frame]:
        nonlocal done
        for _ in range(number):
            frame = next(waiting, None)
            if frame is None:
                raise UserError(f"{clip.path}: has changed while it was restored; run it again")
            yield frame
            done += 1
            watch(done, len(clip.times))

    for part in parts:
        number = min(SEGMENT_FRAMES, len(clip.times) - done)
        writing.write_segment(part, clip, done, some(number))


def _take_up(folder: Path, note: str) -> None:
    """Makes the folder of parts; one that belongs to something else is emptied first."""
    path = folder / _NOTE
    found = ""
    with suppress(OSError, UnicodeDecodeError):
        found = path.read_text(encoding="utf-8")
    if found != note:
        shutil.rmtree(folder, ignore_errors=True)
        files.write_text(path, note)


def _note(source: Path, clip: Clip, settings: dict[str, Any]) -> str:
    """What parts must agree in to be of one video."""
    import av

    status = source.stat()
    belongs = {
        "source": str(source),
        "size": status.st_size,
        "changed": status.st_mtime_ns,
        "frames": len(clip.times),
        "libraries": [av.__version__, str(av.library_versions)],
        "settings": settings,
    }
    return json.dumps(belongs, indent=1, sort_keys=True) + "\n"
