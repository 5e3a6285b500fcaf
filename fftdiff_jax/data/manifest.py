"""The manifest: a CSV that names the clean and the rainy photo of every pair.

Columns: image_filepath (clean), image_rain_filepath (rainy; empty for a clean photo whose rain is
to be rendered) and, optionally, split ("train" or "val"). A header is required. Paths are absolute
or relative to the CSV's own folder, so that a data set can be moved as a whole.
"""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from fftdiff_jax.errors import UserError
from fftdiff_jax.files import FORMULA_STARTS, csv_text, read_csv, write_text

CLEAN_COLUMN = "image_filepath"
RAINY_COLUMN = "image_rain_filepath"
SPLIT_COLUMN = "split"


@dataclasses.dataclass(frozen=True)
class Row:
    """One pair.

    Attributes:
      number: the line in the file, counting the header as row 1, as editors show it.
      clean: absolute path of the clean photo.
      rainy: absolute path of the rainy photo, or None where rain is to be rendered.
      split: "train", "val" or any other name; "" where the manifest has no such column.
    """

    number: int
    clean: str
    rainy: str | None
    split: str = ""


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The pairs of one CSV, or of one split of it.

    Attributes:
      path: the CSV's absolute path.
      rows: its pairs in the file's order.
      has_splits: whether the CSV has the column split.
    """

    path: str
    rows: tuple[Row, ...]
    has_splits: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def where(self, row: Row) -> str:
        """Returns "FILE, row N", the beginning of every message about a row."""
        return f"{self.path}, row {row.number}"

    def select(self, split: str | None) -> Manifest:
        """Keeps the rows of one split; a manifest without the column belongs to every split.

        Raises:
          UserError: no row has this split.
        """
        if split is None or not self.has_splits:
            return self
        rows = tuple(row for row in self.rows if row.split == split)
        if not rows:
            counts = collections.Counter(row.split for row in self.rows)
            found = ", ".join(f"{name or '(empty)'}: {n}" for name, n in sorted(counts.items()))
            raise UserError(f"{self.path}: no row has the split {split!r}; found {found}")
        return dataclasses.replace(self, rows=rows)

    def require_files(self) -> Manifest:
        """Returns itself when every photo exists.

        Raises:
          UserError: names the first missing file, its row, and how many more are missing.
        """
        missing = [
            (row, path)
            for row in self.rows
            for path in (row.clean, row.rainy)
            if path is not None and not os.path.isfile(path)
        ]
        if missing:
            row, path = missing[0]
            more = f" (and {len(missing) - 1} more files)" if len(missing) > 1 else ""
            raise UserError(
                f"{self.where(row)}: there is no file {path}{more}; "
                "paths are absolute or relative to the CSV's folder"
            )
        return self


def read_manifest(path: str | os.PathLike[str], split: str | None = None) -> Manifest:
    """Reads a manifest, keeping the rows of `split` if one is named.

    Raises:
      UserError: the file is missing or not text, has no rows, lacks a column, has a row that is
        too short or without a clean photo, names a pair twice, or has no row of that split.
    """
    path = Path(path).absolute()
    try:
        lines = read_csv(path)
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: there is no such manifest; make one with fftdiff-jax prepare"
        ) from error
    if not lines:
        raise UserError(f"{path}: is empty; a header {CLEAN_COLUMN},{RAINY_COLUMN} is needed")
    header = [name.strip() for name in lines[0][1]]
    for column in (CLEAN_COLUMN, RAINY_COLUMN):
        if column not in header:
            hint = "; separate columns by commas" if ";" in header[0] or "\t" in header[0] else ""
            raise UserError(
                f"{path}: the column {column} is missing; found {', '.join(header)}{hint}"
            )
    repeated = [name for name, n in collections.Counter(header).items() if n > 1 and name]
    if repeated:
        raise UserError(f"{path}: the column {repeated[0]} stands twice in the header")
    if len(lines) == 1:
        raise UserError(f"{path}: has a header but no pairs")
    rows = tuple(_row(path, header, number, fields) for number, fields in lines[1:])
    _refuse_repeated(path, rows)
    return Manifest(str(path), rows, SPLIT_COLUMN in header).select(split)


def write_manifest(
    path: str | os.PathLike[str], rows: Iterable[tuple[str, str | None, str]]
) -> None:
    """Writes (clean, rainy or None, split) rows, whole or not at all.

    Paths below the CSV's folder are written relative to it, others absolute. The column split is
    left out where every split is "".

    Raises:
      UserError: there are no rows, or the file cannot be written.
    """
    path = Path(path).absolute()
    rows = list(rows)
    if not rows:
        raise UserError(f"{path}: no pairs to write")
    with_split = any(split for _, _, split in rows)
    lines: list[list[str]] = [[CLEAN_COLUMN, RAINY_COLUMN] + [SPLIT_COLUMN] * with_split]
    for clean, rainy, split in rows:
        names = [portable_path(clean, path.parent), rainy and portable_path(rainy, path.parent)]
        lines.append([*(name or "" for name in names), *([split] * with_split)])
    write_text(path, csv_text(lines))


def portable_path(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> str:
    """Writes `path` relative to `folder` where it lies below it, absolute elsewhere."""
    absolute, base = Path(os.path.abspath(path)), Path(os.path.abspath(folder))
    name = (absolute.relative_to(base) if absolute.is_relative_to(base) else absolute).as_posix()
    # To a spreadsheet a cell that begins so is a formula.
    return f"./{name}" if name.startswith(FORMULA_STARTS) else name


def _row(path: Path, header: Sequence[str], number: int, fields: Sequence[str]) -> Row:
    if len(fields) != len(header):
        raise UserError(
            f"{path}, row {number}: has {len(fields)} fields where the header has {len(header)}; "
            "put quotes around paths with commas"
        )
    values = {name: value.strip() for name, value in zip(header, fields, strict=True)}
    if not values[CLEAN_COLUMN]:
        raise UserError(f"{path}, row {number}: {CLEAN_COLUMN} is empty; name the clean photo")

    def located(name: str) -> str:
        return os.path.normpath(path.parent / os.path.expanduser(name))

    rainy = values[RAINY_COLUMN]
    return Row(
        number,
        located(values[CLEAN_COLUMN]),
        located(rainy) if rainy else None,
        values.get(SPLIT_COLUMN, ""),
    )


def _refuse_repeated(path: Path, rows: Iterable[Row]) -> None:
    first: dict[tuple[str, str | None], Row] = {}
    for row in rows:
        key = (row.clean, row.rainy)
        if key in first:
            raise UserError(
                f"{path}, row {row.number}: names the same pair as row {first[key].number}; "
                "remove one of them"
            )
        first[key] = row
