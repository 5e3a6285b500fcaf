"""Files that are whole or absent: written under a temporary name, then moved into place."""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fftdiff_jax.errors import UserError

MOST_JSON = 16_000_000  # bytes of a file that describes others, whoever wrote it
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


def read_csv(path: str | os.PathLike[str]) -> list[tuple[int, list[str]]]:
    """The rows of a CSV that may come from elsewhere, each with the line of the file it ends in.

    Rows without any text are left out.

    Raises:
      FileNotFoundError: there is none.
      UserError: it is no plain file, cannot be read, is no text in UTF-8, or no CSV.
    """
    path = Path(path)
    if path.exists() and not path.is_file():  # a device would never end
        raise UserError(f"{path}: is no plain file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not a CSV in UTF-8; save it as text") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if "\0" in text:
        raise UserError(f"{path}: is not a CSV but a binary file")
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        rows = [(reader.line_num, fields) for fields in reader]
    except csv.Error as error:
        raise UserError(f"{path}, row {reader.line_num}: is not valid CSV ({error})") from error
    return [(number, fields) for number, fields in rows if any(f.strip() for f in fields)]


def read_json(path: str | os.PathLike[str]) -> Any:
    """What a JSON file holds that may come from elsewhere.

    Raises:
      FileNotFoundError: there is none.
      UserError: it is no plain file, cannot be read, or is none that `parse_json` takes.
    """
    path = Path(path)
    if path.exists() and not path.is_file():  # a pipe or a device would never end
        raise UserError(f"{path}: is no plain file")
    try:
        with path.open("rb") as file:
            return parse_json(file.read(MOST_JSON + 1), str(path))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def parse_json(text: str | bytes, where: str) -> Any:
    """Parses JSON that may come from elsewhere; messages begin with `where`.

    Raises:
      UserError: it is over `MOST_JSON` bytes, no JSON, or nested too deep.
    """
    if len(text) > MOST_JSON:
        raise UserError(f"{where}: is over {MOST_JSON // 10**6} MB")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise UserError(f"{where}: is nested too deep") from error
    except ValueError as error:
        raise UserError(
            f"{where}: is no valid JSON ({' '.join(str(error).split())[:120]})"
        ) from error


def _harmless(cell: Any) -> Any:
    if not isinstance(cell, str) or not cell.startswith(FORMULA_STARTS):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
