"""What tells the pairs of a run from others: noticed when rows or photos change before it goes on.

A row counts by its split and its photos' paths, relative to the manifest's folder where they lie
below it, so that a data set may be moved as a whole; its photos by their files' sizes and times of
change, or by every byte.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fftdiff_jax.data.manifest import Manifest, Row, portable_path
from fftdiff_jax.errors import UserError

# What tells one state of a row's photos from another; "" where they cannot change.
Stamp = Callable[[Row], str]


def fingerprint(manifest: Manifest, stamp: Stamp, by: str, beside: str = "") -> dict[str, Any]:
    """The fingerprint of a manifest's rows, ready for JSON: eight hexadecimal digits a row each.

    Args:
      manifest: the rows, in their order.
      stamp: of a row's photos.
      by: how they are told apart, for who compares another one with it.
      beside: a stamp of what is read beside the pairs: masks of streaks.

    Raises:
      UserError: a photo cannot be read.
    """
    folder = Path(manifest.path).parent

    def names(row: Row) -> str:
        photos = (portable_path(path, folder) if path else "" for path in (row.clean, row.rainy))
        return "|".join((row.split, *photos))

    return {
        "by": by,
        "rows": "".join(_digits(names(row)) for row in manifest),
        "photos": "".join(_digits(stamp(row)) for row in manifest),
        "beside": _digits(beside),
    }


def difference(before: Mapping[str, Any], now: Mapping[str, Any], manifest: Manifest) -> str | None:
    """Says where two fingerprints differ, or returns None.

    Args:
      before: of a checkpoint.
      now: that of `manifest`, taken in the same way.
    """
    then, here = _per_row(before["rows"]), _per_row(now["rows"])
    for i, (one, other) in enumerate(zip(then, here, strict=False)):
        if one != other:
            place = manifest.where(manifest.rows[i])
            return f"{place}: is another pair, or pairs stand in another order"
    if len(then) != len(here):
        return f"{manifest.path}: has {len(here)} pairs for this run, where it had {len(then)}"
    pairs = zip(_per_row(before["photos"]), _per_row(now["photos"]), strict=False)
    for row, (one, other) in zip(manifest.rows, pairs, strict=False):
        if one != other:
            photos = " or ".join(filter(None, (row.clean, row.rainy)))
            return f"{manifest.where(row)}: another photo than then, {photos}"
    return None if before["beside"] == now["beside"] else "data.streaks_dir: other masks than then"


def stamp_of_files(paths: Sequence[str | os.PathLike[str]], by: str) -> str:
    """The sizes and times of change of files (`by` "times"), or their contents ("contents").

    Raises:
      UserError: one cannot be read.
    """
    return "|".join(_stamp_of_file(path, by) for path in paths)


def _stamp_of_file(path: str | os.PathLike[str], by: str) -> str:
    try:
        if by == "contents":
            with open(path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        status = os.stat(path)
        return f"{status.st_size} {status.st_mtime_ns}"
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _digits(text: str) -> str:
    return f"{zlib.crc32(text.encode('utf-8', 'surrogateescape')):08x}"


def _per_row(digits: str) -> list[str]:
    return [digits[i : i + 8] for i in range(0, len(digits), 8)]
