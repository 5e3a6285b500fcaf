"""How data sets of rain lie on disk: which clean photo belongs to which rainy one.

Every layout is a function from a root folder to the pairs below it. Names are compared without
regard to case, spaces, hyphens and underscores, since copies of one data set differ in these.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from fftdiff_jax.data.images import PHOTO_SUFFIXES
from fftdiff_jax.errors import UserError

_CLEAN_FOLDERS = (
    "groundtruth", "gt", "clean", "norain", "target", "targets", "images", "image", "label",
    "labels", "gtclean", "cleanimages", "cleanimage",
)  # fmt: skip
_RAINY_FOLDERS = (
    "rainyimage", "rainyimages", "rainy", "rain", "imagesrain", "imagerain", "input", "inputs",
    "rainimage", "rainimages", "data",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class FoundPair:
    """A pair of files; where `clean` and `rainy` are one file, it holds both halves.

    `scene` is the same for all pairs that share a clean photo.
    """

    clean: Path
    rainy: Path
    scene: str


@dataclasses.dataclass(frozen=True)
class Found:
    """The pairs below a root, and the photos that found no partner."""

    pairs: tuple[FoundPair, ...]
    unpaired: tuple[Path, ...] = ()


def find_pairs(
    layout: str,
    root: str | os.PathLike[str],
    *,
    clean: str = "",
    rainy: str = "",
    ignore: Sequence[str | os.PathLike[str]] = (),
) -> Found:
    """Lists the pairs below `root`, in the natural order of their names.

    Args:
      layout: one of `LAYOUTS`.
      root: the folder of the data set.
      clean: "folders": the folder of the clean photos, relative to root; found by its name when
        empty. "regex": a template of the clean path, with \\1 or \\g<name> from `rainy`.
      rainy: "folders": the folder of the rainy photos. "regex": a regular expression that matches
        the whole path, relative to root, of every rainy photo.
      ignore: folders whose photos do not count, such as those that an earlier run wrote.

    Raises:
      UserError: the root is no folder, the layout is unknown or does not fit what lies there.
    """
    root = Path(root).expanduser().absolute()
    if layout not in LAYOUTS:
        raise UserError(f"there is no layout {layout!r}; known: {', '.join(LAYOUTS)}")
    if not root.is_dir():
        raise UserError(f"{root}: there is no such folder")
    skipped = [Path(folder).absolute() for folder in ignore]
    photos = [
        path for path in _photos(root) if not any(path.is_relative_to(folder) for folder in skipped)
    ]
    if not photos:
        raise UserError(f"{root}: holds no photos ({', '.join(PHOTO_SUFFIXES)})")
    found = LAYOUTS[layout](root, photos, clean, rainy)
    if not found.pairs:
        seen = ", ".join(_name(path, root) for path in photos[:3])
        raise UserError(
            f"{root}: no pair fits the layout {layout}; found {len(photos)} photos such as {seen}"
        )
    return found


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts "img2" before "img10"."""
    return tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in re.findall(r"[0-9]+|[^0-9]+", text)
    )


def _photos(root: Path) -> list[Path]:
    found = []
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if not name.startswith((".", "__MACOSX"))]
        found += [
            Path(folder, name)
            for name in files
            if name.lower().endswith(PHOTO_SUFFIXES) and not name.startswith(".")
        ]
    return sorted(found, key=lambda path: natural_key(path.as_posix()))


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()


def _side(path: Path, root: Path) -> tuple[str, str, str]:
    """Returns "clean", "rainy" or "" after the nearest folder of such a name, and two groups.

    The groups are the folders above and below that one, joined, and those above it alone: a data
    set may repeat its folders on both sides, or not.
    """
    parts = list(path.relative_to(root).parts[:-1])
    for index in range(len(parts) - 1, -1, -1):
        side = (
            "clean"
            if _plain(parts[index]) in _CLEAN_FOLDERS
            else "rainy"
            if _plain(parts[index]) in _RAINY_FOLDERS
            else ""
        )
        if side:
            return side, "/".join(parts[:index] + parts[index + 1 :]), "/".join(parts[:index])
    return "", "/".join(parts), "/".join(parts)


# What a photo may be called on its side, the most exact first.
_Keys = list[tuple[str, str]]


def _joined(root: Path, clean: dict[Path, _Keys], rainy: dict[Path, _Keys]) -> Found:
    """Pairs every rainy photo with the clean one of its first key that exactly one of them has."""
    index: dict[tuple[str, str], Path | None] = {}
    for path, keys in clean.items():
        for key in dict.fromkeys(keys):
            index[key] = None if key in index else path  # never one of several
    pairs, unpaired, used = [], [], set()
    for path, keys in rainy.items():
        partner = next((found for key in keys if (found := index.get(key)) is not None), None)
        if partner is None:
            unpaired.append(path)
            continue
        used.add(partner)
        pairs.append(FoundPair(partner, path, _name(partner, root)))
    unpaired += [path for path in clean if path not in used]
    return Found(tuple(pairs), tuple(unpaired))


def _rain800(root: Path, photos: Sequence[Path], clean: str, rainy: str) -> Found:
    """One file holds both photos of a pair, side by side."""
    del clean, rainy
    return Found(tuple(FoundPair(path, path, _name(path, root)) for path in photos))


def _rain1400(root: Path, photos: Sequence[Path], clean: str, rainy: str) -> Found:
    """ground_truth/901.jpg with rainy_image/901_1.jpg to 901_14.jpg."""
    del clean, rainy
    sides: dict[str, dict[Path, _Keys]] = {"clean": {}, "rainy": {}, "": {}}
    for path in photos:
        side, around, above = _side(path, root)
        scene = path.stem.rpartition("_")[0]
        names = (path.stem,) if side == "clean" else (scene, path.stem)
        sides[side][path] = [(group, key) for key in names for group in (around, above)]
    return _joined(root, sides["clean"], sides["rainy"])


_RAIN100 = re.compile(r"(?P<side>no)?rain[-_]?(?P<number>[0-9]+)(?P<scale>x[0-9]+)?", re.I)


def _rain100(root: Path, photos: Sequence[Path], clean: str, rainy: str) -> Found:
    """norain-001.png with rain-001.png, in one folder, beside rainy/ or in two folders.

    Leading zeros do not count; rain-1x2 belongs to norain-1x2 or else to norain-1.
    """
    del clean, rainy
    for by_folder in (True, False):
        sides: dict[str, dict[Path, _Keys]] = {"clean": {}, "rainy": {}}
        for path in photos:
            match = _RAIN100.fullmatch(path.stem)
            if match is None:
                continue  # rainregion-1, rainstreak-1
            side, around, above = _side(path, root)
            if not (side and by_folder):
                side = "clean" if match["side"] else "rainy"
            number, scale = match["number"].lstrip("0") or "0", (match["scale"] or "").lower()
            names = (number + scale,) if side == "clean" else (number + scale, number)
            sides[side][path] = [(group, name) for name in names for group in (around, above)]
        found = _joined(root, sides["clean"], sides["rainy"])
        if found.pairs:
            break
    return found


def _folders(root: Path, photos: Sequence[Path], clean: str, rainy: str) -> Found:
    """Two folders with the same names; suffixes may differ."""
    if bool(clean) != bool(rainy):
        raise UserError("name both folders, or none to have them found by their names")
    sides: dict[str, dict[Path, _Keys]] = {"clean": {}, "rainy": {}, "": {}}
    if clean:
        for side, folder in (("clean", clean), ("rainy", rainy)):
            base = Path(os.path.normpath(root / folder))
            if not base.is_dir():
                raise UserError(f"{base}: there is no such folder of {side} photos")
            inside = photos if base.is_relative_to(root) else _photos(base)
            for path in inside:
                if path.is_relative_to(base):
                    sides[side][path] = _names_in("", _name(path, base))
    else:
        for path in photos:
            side, around, above = _side(path, root)
            sides[side][path] = _names_in(around, path.name) + _names_in(above, path.name)
    if not sides["clean"] or not sides["rainy"]:
        missing = "rainy" if sides["clean"] else "clean"
        raise UserError(
            f"{root}: found no folder of {missing} photos; name the folders, such as "
            "--clean=gt --rainy=input"
        )
    # Clean photos need not lie below the root.
    common = Path(os.path.commonpath([root, *sides["clean"]]))
    return _joined(common, sides["clean"], sides["rainy"])


def _names_in(group: str, name: str) -> _Keys:
    """A name with its suffix, and without it; marked, so that a.b and a.b.png differ."""
    return [(group, f"{name}/"), (group, os.path.splitext(name)[0])]


def _regex(root: Path, photos: Sequence[Path], clean: str, rainy: str) -> Found:
    if not clean or not rainy:
        raise UserError(
            r"the layout regex needs both, such as --rainy='rain/(\d+)_\d+\.jpg' "
            r"and --clean='gt/\1.jpg'"
        )
    try:
        pattern = re.compile(rainy)
    except re.error as error:
        raise UserError(f"{rainy!r} is not a regular expression: {error}") from error
    pairs, unpaired = [], []
    for path in photos:
        match = pattern.fullmatch(_name(path, root))
        if match is None:
            continue
        try:
            name = match.expand(clean)
        except (re.error, IndexError) as error:
            raise UserError(f"{clean!r} does not fit the expression {rainy!r}: {error}") from error
        partner = Path(os.path.normpath(root / name))
        if partner.is_file() and partner != path:
            pairs.append(FoundPair(partner, path, name))
        else:
            unpaired.append(path)
    return Found(tuple(pairs), tuple(unpaired))


# Who adds one writes a function like these.
LAYOUTS: dict[str, Callable[[Path, Sequence[Path], str, str], Found]] = {
    "rain800": _rain800,
    "rain1400": _rain1400,
    "rain100": _rain100,
    "folders": _folders,
    "regex": _regex,
}
