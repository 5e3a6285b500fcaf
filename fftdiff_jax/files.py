"""Files that are whole or absent: written under a temporary name, then moved into place."""

from __future__ import annotations

import csv
import io
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fftdiff_jax.errors import UserError

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_LONGEST_SUFFIX = 64  # bytes of a temporary name's


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary name in the folder of `path`; what was written there becomes `path`.

    The folder is made when missing. If the block raises, `path` stays as it was and nothing is
    left behind. The temporary name keeps the suffix, since savers choose their format by it, and
    not the rest of the name, which may be as long as names can be.

    Raises:
      UserError: the folder or the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix if len(os.fsencode(path.suffix)) <= _LONGEST_SUFFIX else ""
    temporary = path.with_name(f".{os.getpid()}.{secrets.token_hex(8)}{suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); "
            "choose another place or free some space"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes `text` as UTF-8 with plain newlines, whole or not at all.

    Raises:
      UserError: the file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """The text of a CSV with these rows, each ended by a plain newline.

    Texts that a spreadsheet would run as formulas get a quote before them.
    """
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(map(_harmless, row) for row in rows)
    return text.getvalue()


def _harmless(cell: Any) -> Any:
    if not isinstance(cell, str) or not cell.startswith(FORMULA_STARTS):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
