"""Checksums of a checkpoint's files, so that one altered byte does not pass for weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from fftdiff_jax.errors import UserError
from fftdiff_jax.files import read_json, write_text
from fftdiff_jax.ranges import shown

FILE = "checksums.json"


def write_checksums(folder: Path) -> None:
    """Writes the SHA-256 of every file below `folder` into its checksums.json.

    Raises:
      OSError: a file cannot be read.
      UserError: checksums.json cannot be written.
    """
    sums = {name: _digest(folder / name) for name in _files(folder)}
    write_text(folder / FILE, json.dumps(sums, indent=1, sort_keys=True) + "\n")


def damage(folder: Path, items: Iterable[str] | None = None) -> str | None:
    """Says what is wrong with the files below `folder`, or returns None.

    Only files below it are read, whatever its checksums name.

    Args:
      folder: of one checkpoint. One without checksums (a kill came between the checkpoint and
        them) is not judged by them.
      items: the subfolders to look at; None: everything.
    """
    strange = no_plain_file(folder)
    if strange is not None:
        return f"{strange} is no plain file"
    try:
        sums = read_json(folder / FILE)
    except FileNotFoundError:
        return None
    except UserError as error:
        return f"{FILE} cannot be used ({error})"
    if not isinstance(sums, dict):
        return f"{FILE} holds no checksums"
    wanted, present = None if items is None else set(items), set(_files(folder))
    for name, expected in sums.items():
        if wanted is not None and name.split("/")[0] not in wanted:
            continue
        if name not in present:
            return f"{shown(name)} is not there"
        try:
            if _digest(folder / name) != expected:
                return f"{name} was altered after it was written"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
    return None


def no_plain_file(folder: Path) -> str | None:
    """The first thing below `folder` that is neither file nor folder: reading it may never end.

    Nor is a link to a folder: what lies behind it is not looked at here, and would be read later.
    """
    for path in sorted(folder.rglob("*")):
        plain = path.is_file() or (path.is_dir() and not path.is_symlink())
        if path.exists() and not plain:
            return path.relative_to(folder).as_posix()
    return None


def _files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != FILE and not path.name.startswith(".")
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
