"""Which mask belongs to which photo."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fftdiff_jax.data.formats import PHOTO_SUFFIXES
from fftdiff_jax.errors import UserError

if TYPE_CHECKING:
    from fftdiff_jax.restore.folders import Job


def with_masks(jobs: Sequence[Job], protect: str, output: Path) -> list[Job]:
    """The jobs with the masks that a word of the user's names.

    Args:
      jobs: whose targets lie below `output`.
      protect: a picture, which is everybody's mask, or a folder. A photo's mask lies there as the
        photo lies in the folder that is restored, and has its name or its stem; a photo without
        one is restored whole.
      output: the folder of the results.

    Raises:
      UserError: nothing is there, or no mask that belongs to a photo.
    """
    place = Path(protect).expanduser()
    if place.is_file():
        return [dataclasses.replace(job, mask=place) for job in jobs]
    if not place.is_dir():
        raise UserError(f"--protect={protect}: there is no such mask and no such folder")
    found = [
        dataclasses.replace(job, mask=_mask(place / job.target.relative_to(output), job.source))
        for job in jobs
    ]
    if not any(job.mask for job in found):
        raise UserError(
            f"--protect={protect}: no mask there has the name of a photo, "
            f"such as {jobs[0].source.stem}.png"
        )
    return found


def _mask(beside: Path, photo: Path) -> Path | None:
    """A file of the photo's name, else of its stem."""
    names = [photo.name, *(photo.stem + suffix for suffix in PHOTO_SUFFIXES)]
    return next((path for name in names if (path := beside.with_name(name)).is_file()), None)
