"""What of a folder is a photo, and what looks like one and is none here."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from fftdiff_jax.data.formats import PHOTO_SUFFIXES, VIDEO_SUFFIXES, kind_of, other_picture
from fftdiff_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Found:
    """A file, and why it is not restored; nothing where it is."""

    path: Path
    refusal: str = ""


def find_photos(pattern: str) -> tuple[Path | None, list[Found]]:
    """What a pattern names that looks like a photo, absolute, and the folder it is searched below.

    Hidden files and folders are passed over, as data of the system (and of this command, when it
    was killed). Links to nothing, pipes and the like count, so that they are reported. One photo
    has no folder.

    Raises:
      UserError: nothing there, or nothing that looks like a photo.
    """
    if not pattern:  # else it would be the folder in which the command runs
        raise UserError("a photo has no name: one of the words is empty")
    path = Path(os.path.abspath(os.path.expanduser(pattern)))
    if path.is_dir():
        root, entries = path, sorted(_below(path))
    elif os.path.lexists(path):
        return None, [Found(path)]
    else:
        root = _fixed_part(path)
        entries = sorted(root.glob(str(path.relative_to(root)))) if root != path else []
        if not entries:
            raise UserError(f"{pattern}: there is no such photo or folder")
    real = root.resolve()
    found = [
        Found(entry, "" if refusal is None else refusal)
        for entry in entries
        if not any(part.startswith((".", "__MACOSX")) for part in entry.relative_to(root).parts)
        and (refusal := _refusal(entry, real, videos=root != path)) != _NO_PICTURE
    ]
    if not found:
        known = ", ".join(sorted(PHOTO_SUFFIXES))
        filmed = any(entry.suffix.lower() in VIDEO_SUFFIXES for entry in entries)
        hint = "; its videos are restored when they are named, as with '*.mp4'" if filmed else ""
        raise UserError(f"{pattern}: no photo there (looked for {known}){hint}")
    return root, found


_NO_PICTURE = "no picture"


def _below(folder: Path) -> Iterator[Path]:
    """All files, links and unreadable folders below a folder; links are not followed."""
    unreadable: list[Path] = []

    def note(error: OSError) -> None:
        unreadable.append(Path(os.fsdecode(error.filename)))

    for parent, folders, files in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        here = Path(parent)
        yield from (here / name for name in files)
        yield from (here / name for name in folders if (here / name).is_symlink())
    yield from unreadable


def _refusal(path: Path, root: Path, *, videos: bool) -> str | None:
    """Why a path is not restored: None where it is, `_NO_PICTURE` where it looks like none."""
    if path.is_dir():
        if path.is_symlink():
            inside = path.resolve().is_relative_to(root)  # where its photos are found anyway
            return _NO_PICTURE if inside else "is a link to a folder; name that folder as well"
        return _NO_PICTURE if os.access(path, os.R_OK | os.X_OK) else "may not be looked into"
    if path.suffix.lower() in PHOTO_SUFFIXES:
        return None
    # Hours of work: not for every clip that lies beside some photos.
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return None if videos else _NO_PICTURE
    other = other_picture(path.suffix)
    if other:
        return f"is {other}, which is not read here; save it as JPEG, PNG or TIFF"
    try:
        if path.is_file():
            with path.open("rb") as file:
                kind = kind_of(file.read(64))
            if kind:
                return f"holds a {kind}, and is not called so; give it that format's suffix"
    except OSError:
        pass
    return _NO_PICTURE


def _fixed_part(path: Path) -> Path:
    """The folders of an absolute pattern before its first wildcard."""
    fixed = Path(path.anchor)
    for part in path.parts[1:]:
        if any(mark in part for mark in "*?["):
            return fixed
        fixed = fixed / part
    return fixed
