"""From a data set as it was downloaded to a manifest that can be trained on."""

from __future__ import annotations

import collections
import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fftdiff_jax.data.images import load_photo
from fftdiff_jax.data.manifest import CLEAN_COLUMN, RAINY_COLUMN, portable_path, write_manifest
from fftdiff_jax.data.prepare.checks import Checked, check_pairs
from fftdiff_jax.data.prepare.layouts import FoundPair, find_pairs
from fftdiff_jax.data.prepare.scenes import (
    fingerprint,
    merge_scenes,
    near_duplicates,
    read_scenes,
    split_groups,
    splits_of_folders,
)
from fftdiff_jax.errors import UserError
from fftdiff_jax.files import csv_text, write_text


@dataclasses.dataclass(frozen=True)
class Report:
    """What was found and written.

    Attributes:
      manifest: the CSV.
      scenes_csv: the file that decided on scenes and splits, or "".
      by_folders: whether folders called train, val or test decided on the splits.
      pairs: how many pairs it names.
      splits: pairs by split.
      scenes: how many scenes there are, near-duplicates counted as one.
      scenes_by_split: scenes by split.
      near_duplicates: clean photos that show nearly the same, by their names.
      leaks: near-duplicates that a scenes.csv or folders put into different splits.
      refused: (clean, rainy, reason) of the pairs that were left out.
      refused_csv: where they are listed, or "".
      unpaired: photos without a partner.
    """

    manifest: str
    scenes_csv: str
    by_folders: bool
    pairs: int
    splits: dict[str, int]
    scenes: int
    scenes_by_split: dict[str, int]
    near_duplicates: list[list[str]]
    leaks: list[list[str]]
    refused: list[tuple[str, str, str]]
    refused_csv: str
    unpaired: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Returns the report ready for JSON."""
        return dataclasses.asdict(self)


def prepare_manifest(
    layout: str,
    root: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    crop_size: int,
    clean: str = "",
    rainy: str = "",
    swap: bool = False,
    check: bool = True,
    folder_splits: bool = True,
    val_share: float = 0.1,
    seed: int = 0,
    progress: Callable[[Iterable, int], Iterable] = lambda items, total: items,
) -> Report:
    """Finds, checks and splits the pairs below `root`, and writes the manifest `output`.

    A scenes.csv in `root` or in the folder above (columns file, scene, split; files relative to
    its own folder) decides on scenes and splits. Without one, all pairs of a clean photo and of its
    near-duplicates are a scene. Folders called train, val and test then decide on the splits; where
    there are none, or none for val, about `val_share` of the pairs of train go to val. Beside the
    manifest stand OUTPUT_report.json, OUTPUT_refused.csv where pairs were refused and, for the
    layout rain800, the folder OUTPUT_photos with the halves.

    Args:
      layout, root, clean, rainy: as in `layouts.find_pairs`.
      output: the CSV to write.
      crop_size: pairs smaller than that are refused.
      swap: rain800: the right half is the clean one.
      check: decode every photo; otherwise only the names are looked at.
      folder_splits: whether folders called train, val and test decide on the splits.
      val_share: share of the pairs for val.
      seed: of the split.
      progress: wraps the pairs as they are checked; its second argument is their number.

    Raises:
      UserError: nothing fits, everything is refused, or a file cannot be written.
    """
    output, root = Path(output).expanduser().absolute(), Path(root).expanduser().absolute()
    if output.suffix.lower() != ".csv":
        raise UserError(f"{output}: the manifest's name must end in .csv")
    halves = output.with_name(output.stem + "_photos")
    found = find_pairs(layout, root, clean=clean, rainy=rainy, ignore=(halves,))
    scenes_csv, given = _given_scenes(root, found.pairs)
    if check or layout == "rain800":
        halves_to = halves if layout == "rain800" else None
        checks = check_pairs(found.pairs, crop_size, halves_to=halves_to, swap=swap)
        checked = list(progress(checks, len(found.pairs)))
    else:
        checked = _unchecked(found.pairs, needs_print=given is None)
    good, refused, refused_csv = _separate_refused(checked, output)
    alike = _alike(good)
    by_folders = None
    if given is None:
        scenes = merge_scenes([item.pair.scene for item in good], alike)
        if folder_splits:
            by_folders = splits_of_folders([_below(root, item.pair.rainy) for item in good])
        splits = _complete(by_folders or [""] * len(good), scenes, val_share, seed)
    else:
        labels = [_label(given, item.pair, root, scenes_csv) for item in good]
        scenes = merge_scenes([scene for scene, _ in labels], ())
        splits = [split for _, split in labels]
    write_manifest(
        output,
        [(str(i.pair.clean), str(i.pair.rainy), s) for i, s in zip(good, splits, strict=True)],
    )
    names = [item.pair.scene for item in good]
    report = Report(
        manifest=str(output),
        scenes_csv="" if given is None else str(scenes_csv),
        by_folders=by_folders is not None,
        pairs=len(good),
        splits=dict(sorted(collections.Counter(splits).items())),
        scenes=len(set(scenes)),
        scenes_by_split=_scenes_by_split(scenes, splits),
        near_duplicates=_clusters(names, alike),
        leaks=[[names[i], names[j]] for i, j in alike if splits[i] != splits[j]],
        refused=refused,
        refused_csv=str(refused_csv) if refused else "",
        unpaired=[str(path) for path in found.unpaired],
    )
    # ASCII, as json writes it, also holds names that are no valid Unicode.
    text = json.dumps(report.to_dict(), indent=1) + "\n"
    write_text(output.with_name(output.stem + "_report.json"), text)
    return report


def _below(root: Path, path: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path


def _complete(
    given: Sequence[str], scenes: Sequence[int], val_share: float, seed: int
) -> list[str]:
    """The given splits; train and what has none is split by scene where nothing is val."""
    if "val" in given:
        return [split or "train" for split in given]
    open_ = [i for i, split in enumerate(given) if split in ("", "train")]
    found = split_groups([scenes[i] for i in open_], val_share, seed)
    splits = list(given)
    for i, split in zip(open_, found, strict=True):
        splits[i] = split
    return splits


def _separate_refused(
    checked: Sequence[Checked], output: Path
) -> tuple[list[Checked], list[tuple[str, str, str]], Path]:
    """Lists the refused pairs in OUTPUT_refused.csv; returns the good ones, these, and its path.

    Raises:
      UserError: all pairs are refused.
    """
    checked = [item if item.reason else _nameable(item, output.parent) for item in checked]
    good = [item for item in checked if not item.reason]
    refused = [(str(i.pair.clean), str(i.pair.rainy), i.reason) for i in checked if i.reason]
    path = output.with_name(output.stem + "_refused.csv")
    _write_refused(path, refused)
    if not good:
        raise UserError(
            f"all {len(refused)} pairs were refused, see {path}; the first: "
            f"{refused[0][0]}: {refused[0][2]}"
        )
    return good, refused, path


def _scenes_by_split(scenes: Sequence[int], splits: Sequence[str]) -> dict[str, int]:
    pairs = set(zip(scenes, splits, strict=True))
    return dict(sorted(collections.Counter(split for _, split in pairs).items()))


def _unchecked(pairs: Sequence[FoundPair], needs_print: bool) -> list[Checked]:
    """Pairs taken on trust; only the clean photos are read, once each, to find near-duplicates."""
    prints: dict[Path, Any] = {}
    for pair in pairs if needs_print else ():
        if pair.clean not in prints:
            try:
                prints[pair.clean] = fingerprint(load_photo(pair.clean))
            except UserError:
                prints[pair.clean] = None  # training will stop at it, or skip it
    return [Checked(pair, print=prints.get(pair.clean)) for pair in pairs]


def _nameable(checked: Checked, folder: Path) -> Checked:
    """Refuses a pair whose paths the manifest cannot hold."""
    for path in (checked.pair.clean, checked.pair.rainy):
        name = portable_path(path, folder)
        if name != name.encode("utf-8", "replace").decode():
            return Checked(checked.pair, "a name is not valid Unicode; rename the file")
        if name != name.strip():
            return Checked(checked.pair, "a name begins or ends with a space; rename the file")
    return checked


def _alike(checked: Sequence[Checked]) -> list[tuple[int, int]]:
    """Near-duplicates among different clean photos, as indices of their first pairs."""
    first: dict[Path, int] = {}
    for index, item in enumerate(checked):
        if item.print is not None:
            first.setdefault(item.pair.clean, index)
    indices = list(first.values())
    prints = [checked[index].print for index in indices]
    found = near_duplicates([p for p in prints if p is not None])
    return [(indices[i], indices[j]) for i, j in found]


def _clusters(names: Sequence[str], alike: Sequence[tuple[int, int]]) -> list[list[str]]:
    groups = merge_scenes(range(len(names)), alike)
    members: dict[int, list[str]] = collections.defaultdict(list)
    for index in sorted({index for pair in alike for index in pair}):
        members[groups[index]].append(names[index])
    return list(members.values())


def _given_scenes(
    root: Path, pairs: Sequence[FoundPair]
) -> tuple[Path, Mapping[str, tuple[str, str]] | None]:
    """Reads scenes.csv of the root, or that of the folder above if it knows the root's photos."""
    own, above = root / "scenes.csv", root.parent / "scenes.csv"
    if own.is_file():
        return own, read_scenes(own)
    if above.is_file():
        given = read_scenes(above)
        if any(name in given for pair in pairs for name in _names(pair, root, above)):
            return above, given
    return own, None


def _names(pair: FoundPair, root: Path, scenes_csv: Path) -> list[str]:
    """What a pair may be called there: by its clean photo (or its picture), or by its rainy one."""
    folder = scenes_csv.parent
    names = [portable_path(path, folder) for path in (root / pair.scene, pair.rainy)]
    return [*names, *(name.removeprefix("./") for name in names)]


def _label(
    given: Mapping[str, tuple[str, str]], pair: FoundPair, root: Path, scenes_csv: Path
) -> tuple[str, str]:
    for name in _names(pair, root, scenes_csv):
        if name in given:
            return given[name]
    raise UserError(f"{scenes_csv}: says nothing about {pair.scene}; add a row for it")


def _write_refused(path: Path, refused: Sequence[tuple[str, str, str]]) -> None:
    if not refused:
        path.unlink(missing_ok=True)  # from an earlier run
        return
    text = csv_text([(CLEAN_COLUMN, RAINY_COLUMN, "reason"), *refused])
    write_text(path, text.encode("utf-8", "backslashreplace").decode())
