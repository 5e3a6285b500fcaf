"""Splits by scene: all photos of one scene, and near-duplicates of them, stay in one split."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import scipy.fft
from jaxtyping import Float32, UInt8, UInt64
from PIL import Image

from fftdiff_jax.errors import UserError
from fftdiff_jax.files import read_csv

# Two photos are near-duplicates when at most this many of the 64 hash bits differ and their
# thumbnails correlate this strongly. Chosen on Rain800's own labels: of its 526 pairs of photos of
# one scene 10 bits find all (8 bits 520) and none of the 234,429 other pairs; 16 bits with a
# correlation of 0.9 begin to find others. No other data set has tried it.
_MOST_BITS = 10
_LEAST_CORRELATION = 0.95

# Words in the names of folders, as published data sets are divided.
_SPLIT_WORDS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """What a photo looks like, in little: the signs of its lowest 64 cosines, and a thumbnail."""

    bits: int
    thumbnail: Float32[np.ndarray, "16 16"]


def fingerprint(photo: UInt8[np.ndarray, "h w 3"]) -> Fingerprint:
    """Computes a perceptual hash: compression, size and slight changes of tone keep it.

    The grey photo is reduced to 32 x 32; the 64 cosines of lowest frequency (the constant left
    out) are compared with their median (Zauner, Implementation and Benchmarking of Perceptual
    Image Hash Functions, 2010).
    """
    image = Image.fromarray(photo).convert("L")
    small = np.asarray(image.resize((32, 32), Image.Resampling.BOX), np.float32)
    cosines = scipy.fft.dctn(small, norm="ortho")[:9, :9].reshape(-1)[1:65]
    signs = cosines > np.median(cosines)
    bits = int.from_bytes(np.packbits(signs).tobytes(), "big")
    return Fingerprint(bits, small.reshape(16, 2, 16, 2).mean(axis=(1, 3)))


def near_duplicates(prints: Sequence[Fingerprint]) -> list[tuple[int, int]]:
    """Lists the pairs (i, j), i < j, of photos that show nearly the same."""
    hashes: UInt64[np.ndarray, " n"] = np.array([p.bits for p in prints], np.uint64)
    found = []
    for i in range(len(prints) - 1):
        distances = np.bitwise_count(hashes[i + 1 :] ^ hashes[i])
        for j in (np.flatnonzero(distances <= _MOST_BITS) + i + 1).tolist():
            if _correlation(prints[i].thumbnail, prints[j].thumbnail) >= _LEAST_CORRELATION:
                found.append((i, j))
    return found


def merge_scenes(scenes: Sequence[Hashable], same: Iterable[tuple[int, int]]) -> list[int]:
    """Numbers groups from 0: items of one scene share a number, and so do joined items."""
    parent = list(range(len(scenes)))

    def top(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    first: dict[Hashable, int] = {}
    for item, scene in enumerate(scenes):
        parent[top(item)] = top(first.setdefault(scene, item))
    for one, other in same:
        parent[top(one)] = top(other)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(top(item), len(numbers)) for item in range(len(scenes))]


def split_groups(groups: Sequence[int], val_share: float, seed: int) -> list[str]:
    """Gives each item "train" or "val", whole groups at a time.

    Groups go to val in a random order fixed by `seed` as long as that brings val's share of the
    items closer to `val_share`. Both splits get something whenever there are two groups and the
    share is neither 0 nor 1.

    Raises:
      UserError: the share is not between 0 and 1.
    """
    if not 0.0 <= val_share <= 1.0:
        raise UserError(f"a share of {val_share} for val is not between 0 and 1")
    counts = np.bincount(np.asarray(groups, np.int64)) if len(groups) else np.zeros(0, np.int64)
    wanted, taken, val = val_share * len(groups), 0, set()
    order = np.random.default_rng(seed).permutation(len(counts))
    for group in order:
        if abs(taken + counts[group] - wanted) < abs(taken - wanted):
            val.add(int(group))
            taken += int(counts[group])
    if 0.0 < val_share < 1.0 and len(counts) > 1:
        if not val:
            val.add(int(min(order, key=lambda group: counts[group])))
        elif len(val) == len(counts):
            val.remove(int(min(order, key=lambda group: counts[group])))
    return ["val" if group in val else "train" for group in groups]


def splits_of_folders(paths: Sequence[Path]) -> list[str] | None:
    """The splits that folders called train, val or test give to photos; None where they give none.

    Args:
      paths: of the photos, relative to the root of their data set.

    Returns:
      For each photo "train", "val" or "test" after the nearest folder that is called so, alone or
      among other words (rain_data_test), or "". None where all photos are of one kind.
    """
    splits = [_split_of(path) for path in paths]
    return splits if len(set(splits) - {""}) > 1 else None


def _split_of(path: Path) -> str:
    for name in reversed(path.parts[:-1]):
        words = re.findall(r"[a-z]+", name.lower())
        found = {_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS}
        if len(found) == 1:
            return found.pop()
    return ""


def read_scenes(path: str | os.PathLike[str]) -> Mapping[str, tuple[str, str]]:
    """Reads a scenes.csv (columns file, scene, split): file -> (scene, split).

    Raises:
      UserError: a column is missing, a file stands there twice, or a scene has two splits.
    """
    path = Path(path)
    scenes: dict[str, tuple[str, str]] = {}
    splits: dict[str, str] = {}
    try:
        (_, columns), *lines = read_csv(path) or [(1, [])]
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such file") from error
    for column in ("file", "scene", "split"):
        if column not in columns:
            raise UserError(f"{path}: the column {column} is missing; found {', '.join(columns)}")
    for number, fields in lines:
        row = dict(zip(columns, fields, strict=False))
        name, scene, split = (row.get(column, "") for column in ("file", "scene", "split"))
        if name in scenes:
            raise UserError(f"{path}, row {number}: {name} stands there twice")
        if splits.setdefault(scene, split) != split:
            raise UserError(
                f"{path}, row {number}: scene {scene} is in {splits[scene]} and "
                f"in {split}; a scene belongs to one split"
            )
        scenes[Path(name).as_posix()] = (scene, split)
    return scenes


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    a, b = one - one.mean(), other - other.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 0 else float(np.array_equal(one, other))
