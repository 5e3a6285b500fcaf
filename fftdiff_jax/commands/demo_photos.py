"""What the demo does with a photo: small pictures, the restored file, where it is guessed."""

from __future__ import annotations

import base64
import dataclasses
import io
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from fftdiff_jax.commands.demo_line import Task
from fftdiff_jax.data.images import load_photo, load_photo_file, photo_size, save_photo, save_png
from fftdiff_jax.data.opened import MAX_PIXELS
from fftdiff_jax.data.photo import Photo
from fftdiff_jax.errors import UserError
from fftdiff_jax.pixels import to_uint8, to_unit
from fftdiff_jax.restore import blending, doubt, maps
from fftdiff_jax.restore.notebook import Look
from fftdiff_jax.restore.restorer import Restorer

PREVIEW = 1600  # pixels of a small picture's longer side, at most
OF_A_MAP = 800  # and of what is drawn several times, which takes as much longer
_LONGEST_STEM = 60  # letters of a result's name


@dataclasses.dataclass(frozen=True)
class Wish:
    """How photos are restored.

    Attributes:
      strength: from 0 to 1, as `Restorer.blended`.
      draws: as a call of `Restorer`.
      mask: white where a photo stays as it is.
    """

    strength: float = 1.0
    draws: int | None = None
    mask: blending.Mask | None = None

    def of(self, restorer: Restorer, task: Task) -> Restorer:
        """The restorer that does so, and tells the task of its tiles."""
        return restorer.watched(task.tiles).blended(self.strength, self.mask)


class Job(NamedTuple):
    """A photo that is to be restored.

    Attributes:
      source: the uploaded file.
      name: what its visitor calls it.
      folder: in which the result is written.
      most_megapixels: that the photo may have.
    """

    source: Path
    name: str
    folder: Path
    most_megapixels: float


class Pair(NamedTuple):
    """A photo before and after, both small."""

    before: UInt8[np.ndarray, "h w 3"]
    after: UInt8[np.ndarray, "h w 3"]


@dataclasses.dataclass(frozen=True)
class Result:
    """A photo that was restored.

    Attributes:
      name: of the visitor's file.
      target: the restored file.
      before, after: small pictures of both (PNG).
      wish: how it was restored.
      size: of the photo, height and width in pixels.
      seconds: that it took.
      not_kept: what of the file is not in the restored one.
      warnings: what libraries said of it, and whether it should be looked at (`doubt.py`).
    """

    name: str
    target: Path
    before: Path
    after: Path
    wish: Wish
    size: tuple[int, int]
    seconds: float
    not_kept: tuple[str, ...]
    warnings: tuple[str, ...]

    def pair(self) -> Pair:
        """Both, small; `UserError` where they are deleted by now."""
        try:
            return Pair(load_photo(self.before), load_photo(self.after))
        except UserError as error:
            raise UserError(f"{self.name}: is deleted here by now; drop it again") from error


class Guesses(NamedTuple):
    """Where a restorer guesses, of a photo that was shrunk to `OF_A_MAP`.

    Attributes:
      map: the photo in grey, from blue (sure) to yellow (guessed), with a legend below.
      draws: photos that may be true, of those drawn the ones that differ most.
    """

    map: UInt8[np.ndarray, "h2 w 3"]
    draws: UInt8[np.ndarray, "n h w 3"]


def load(source: Path, name: str, most_megapixels: float) -> Photo:
    """Reads an uploaded photo.

    Raises:
      UserError: it is none, or too large; the line names it as its visitor does, without a path.
    """
    try:
        height, width = photo_size(source, name)
        pixels = height * width / 1e6
        if pixels > min(most_megapixels, MAX_PIXELS / 1e6):
            raise UserError(
                f"{name}: has {pixels:.2g} megapixels; this page takes {most_megapixels:g}; shrink "
                "it, or use fftdiff-jax, which takes more"
            )
        return load_photo_file(source, name)
    except UserError as error:
        raise UserError(str(error).replace(str(source), name)) from error


def restore(restorer: Restorer, job: Job, wish: Wish, task: Task, of_all: str = "") -> Result:
    """Restores one photo into a file, as the command line does.

    Args:
      restorer: of the weights.
      job: which photo, to where.
      wish: how it is restored.
      task: that is told how far it is.
      of_all: which of several photos it is, in words.

    Raises:
      UserError: the photo is none, is too large, or cannot be written.
      Stopped: by its visitor, at the next tile.
    """
    begin = time.perf_counter()
    what = f"{of_all}{job.name}"
    task.say(f"{what}: reading")
    photo = load(job.source, job.name, job.most_megapixels)
    task.say(what)
    restored = wish.of(restorer, task)(photo.pixels, draws=wish.draws)
    task.say(f"{what}: writing")
    path = Path(job.name)
    target = _free(job.folder / f"{path.stem[:_LONGEST_STEM]}_restored{path.suffix}")
    try:
        lost = save_photo(target, restored, photo)
    except UserError as error:
        raise UserError(str(error).replace(str(target), job.name)) from error
    doubts = doubt.warnings(photo.pixels, restored, masked=wish.mask is not None)
    before = _free(target.with_name(f"before_{target.stem}.png"))
    after = _free(target.with_name(f"after_{target.stem}.png"))
    save_png(before, shrunk(photo.pixels))
    save_png(after, shrunk(restored))
    height, width = photo.pixels.shape[:2]
    return Result(
        job.name,
        target,
        before,
        after,
        wish,
        (height, width),
        time.perf_counter() - begin,
        tuple(dict.fromkeys([*photo.notes, *lost])),
        tuple(dict.fromkeys([*photo.warnings, *doubts])),
    )


def guesses(restorer: Restorer, result: Result, task: Task) -> Guesses:
    """Draws the photo several times, shrunk, and says where the draws differ.

    Raises:
      UserError: the weights draw nothing.
      Stopped: by its visitor, at the next tile.
    """
    task.say("drawing what may be true")
    small = shrunk(result.pair().before, OF_A_MAP)
    found = result.wish.of(restorer, task).variants(small)
    return Guesses(maps.guess_map(small, found.spread), found.draws)


def spectra(pair: Pair) -> Pair:
    """The magnitudes of both small photos as pictures, on one scale in decibels."""
    return Pair(*Look(pair.before, to_unit(pair.after)[None]).spectrum_pictures())


def shrunk(
    pixels: Shaped[np.ndarray, "h w 3"], most: int = PREVIEW
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """A photo made smaller by a whole number, so that no side is over `most` pixels.

    Rows at a time: beyond the photo, memory depends on its width alone.
    """
    factor = -(-max(pixels.shape[:2]) // most)
    rows = 64 * factor
    strips = (pixels[top : top + rows] for top in range(0, len(pixels), rows))
    return np.concatenate(
        [np.asarray(Image.fromarray(to_uint8(to_unit(strip))).reduce(factor)) for strip in strips]
    )


def as_url(picture: UInt8[np.ndarray, "h w 3"]) -> str:
    """A picture as an address that holds all of it (a JPEG)."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def zipped(results: Sequence[Result]) -> Path:
    """All restored files in one beside them; they are compressed already."""
    path = _free(results[0].target.with_name("restored_photos.zip"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for result in results:
            archive.write(result.target, result.target.name)
    return path


def _free(path: Path) -> Path:
    """A path like this one at which there is nothing: two photos may be called the same."""
    found, number = path, 1
    while found.exists():
        number += 1
        found = path.with_stem(f"{path.stem}_{number}")
    return found
