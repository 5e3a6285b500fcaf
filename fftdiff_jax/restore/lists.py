"""Photos that are named in a file: a path a line, or a column of a CSV or Parquet table."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from fftdiff_jax.data.manifest import CLEAN_COLUMN, RAINY_COLUMN
from fftdiff_jax.errors import UserError
from fftdiff_jax.files import read_csv
from fftdiff_jax.restore.found import Found

_PARQUET = (".parquet", ".pq")


def find_listed(path: str, column: str | None = None) -> tuple[Path, list[Found]]:
    """The photos of a list, each once, in its order, and the deepest folder that holds them all.

    Args:
      path: a text file with a path a line, a .csv, or a .parquet. Paths are absolute or relative to
        the list's own folder; empty lines and cells are passed over.
      column: of a table; left out: the rainy photos of a manifest, or the only column.

    Raises:
      UserError: the list is missing, cannot be read or is empty, or has no such column.
    """
    place = Path(os.path.abspath(os.path.expanduser(path)))
    if not place.exists():
        raise UserError(f"--list={path}: there is no such file")
    if place.suffix.lower() in _PARQUET:
        names = _parquet(place, column)
    elif place.suffix.lower() == ".csv":
        names = _csv(place, column)
    elif column:
        raise UserError(f"--column={column}: is for tables, .csv or .parquet; {path} is a text")
    else:
        names = _lines(place)
    if any("\0" in name for name in names):
        raise UserError(f"--list={path}: holds paths with zero bytes; separate them by newlines")
    photos = dict.fromkeys(
        os.path.normpath(place.parent / os.path.expanduser(name)) for name in names if name
    )
    if not photos:
        raise UserError(f"--list={path}: names no photo")
    root = os.path.commonpath([os.path.dirname(photo) for photo in photos])
    return Path(root), [Found(Path(photo)) for photo in photos]


def _lines(path: Path) -> list[str]:
    """Names as the file system has them, whatever bytes these are."""
    if not path.is_file():  # a pipe or a device might never end
        raise UserError(f"--list={path}: is no plain file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"--list={path}: cannot be read ({error.strerror})") from error
    data = data.removeprefix(b"\xef\xbb\xbf")
    return [os.fsdecode(line.removesuffix(b"\r")) for line in data.split(b"\n")]


def _csv(path: Path, column: str | None) -> list[str]:
    rows = [fields for _, fields in read_csv(path)]
    header = [name.strip() for name in rows[0]] if rows else []
    place = header.index(_chosen(path, header, column))
    return [fields[place].strip() if place < len(fields) else "" for fields in rows[1:]]


def _parquet(path: Path, column: str | None) -> list[str]:
    try:
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise UserError(
            f"--list={path}: reading Parquet needs pyarrow, which is not installed; "
            "pip install pyarrow, or save the list as CSV"
        ) from error
    try:
        names = list(parquet.read_schema(path).names)
        chosen = _chosen(path, names, column)
        values = parquet.read_table(path, columns=[chosen])[chosen].to_pylist()
    except UserError:
        raise
    except Exception as error:  # of pyarrow's own kinds, and OSError
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"--list={path}: cannot be read as Parquet ({reason})") from error
    if not all(value is None or isinstance(value, str) for value in values):
        raise UserError(f"--list={path}: the column {chosen} holds no texts; choose --column")
    return [value or "" for value in values]


def _chosen(path: Path, header: Iterable[str], column: str | None) -> str:
    """The column that is asked for, or else that of a manifest, or else the only one."""
    names = list(header)
    usual = [name for name in (RAINY_COLUMN, CLEAN_COLUMN) if name in names]
    if column is None:
        column = usual[0] if usual else names[0] if len(names) == 1 else None
    if column is None or column not in names:
        asked = f"has no column {column}" if column else "has several columns"
        found = ", ".join(names)[:200] or "none"
        raise UserError(f"--list={path}: {asked}; choose one with --column; found {found}")
    return column
