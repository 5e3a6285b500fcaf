"""The folder of an evaluation: one record a photo, appended as it is scored, read to go on.

    settings.json        what was evaluated: results of other settings are not added
    metrics.csv          one row a photo: its scores
    diagnostics.jsonl    one line a photo: the histograms of calibration.py
    parts/*_of_*.csv     the rows of each process where several work, and .jsonl likewise
    restored/            the restored photos, as scored
    features/            one file a photo: what realism.py compares, where VGG16 is asked for
    summary.json, report.html, before_after.png

A photo counts as scored once both of its lines are complete. A line cut off by a crash is dropped.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fftdiff_jax.errors import UserError
from fftdiff_jax.files import csv_text, read_json, write_text
from fftdiff_jax.metrics.calibration import Diagnostics
from fftdiff_jax.metrics.scores import SCORES

COLUMNS = (
    ["file", "row", "height", "width"]
    + [f"{photo}_{key}" for photo in ("rainy", "restored") for key in SCORES]
    + ["seconds"]
)
_PRODUCTS = ("metrics.csv", "diagnostics.jsonl", "summary.json", "report.html", "before_after.png")


@dataclasses.dataclass(frozen=True)
class PhotoResult:
    """One scored photo.

    Attributes:
      file: the rainy photo, relative to the manifest's folder where it lies below it.
      row: its row in the manifest.
      height, width: in pixels.
      rainy, restored: scores by the keys of `SCORES`; NaN where one was not measured.
      seconds: time to restore it.
      diagnostics: see calibration.py.
    """

    file: str
    row: int
    height: int
    width: int
    rainy: Mapping[str, float]
    restored: Mapping[str, float]
    seconds: float
    diagnostics: Diagnostics

    @property
    def gain(self) -> float:
        """What the restoration adds, in dB of Y-PSNR."""
        return self.restored["psnr_y"] - self.rainy["psnr_y"]


class ResultFolder:
    """Reads and appends the records of one evaluation."""

    def __init__(self, folder: Path, part: tuple[int, int] = (0, 1)) -> None:
        """`part`: which process of how many appends here."""
        self.folder = folder
        index, count = part
        name = folder / "metrics" if count == 1 else folder / "parts" / f"{index}_of_{count}"
        self._rows = name.with_suffix(".csv")
        details = folder / "diagnostics" if count == 1 else name
        self._details = details.with_suffix(".jsonl")

    def open(self, settings: Mapping[str, Any], *, restart: bool = False) -> None:
        """Makes the folder ready to go on with these settings.

        Raises:
          UserError: the folder holds results of other settings, or is no evaluation's folder.
        """
        path = self.folder / "settings.json"
        if restart and path.exists():
            self._clear()
        if path.exists():
            found = _read_json(path)
            if found != settings:
                raise UserError(
                    f"{self.folder}: holds results of {_difference(found, settings)}; "
                    "choose another --output, or --restart to discard them"
                )
        elif (self.folder / "metrics.csv").exists():
            raise UserError(
                f"{self.folder}: has a metrics.csv that no evaluation wrote; "
                "choose another --output"
            )
        else:
            write_text(path, json.dumps(settings, indent=2) + "\n")
        for file in (self._rows, self._details):
            _drop_torn_line(file)
        _give_all_columns(self._rows)

    def append(self, result: PhotoResult) -> None:
        """Adds one photo.

        Raises:
          UserError: the files cannot be written.
        """
        details = {"row": result.row, **result.diagnostics.to_dict()}
        _append(self._details, json.dumps(details) + "\n")
        header = "" if self._rows.exists() and self._rows.stat().st_size else csv_text([COLUMNS])
        _append(self._rows, header + csv_text([_to_fields(result)]))

    def read(self) -> dict[int, PhotoResult]:
        """All scored photos by row, of this process and of the others."""
        details: dict[int, Diagnostics] = {}
        for path in [self.folder / "diagnostics.jsonl", *self._parts("jsonl")]:
            for line in _whole_lines(path):
                values = json.loads(line)
                details[values["row"]] = Diagnostics.from_dict(values)
        results = {}
        for path in [self.folder / "metrics.csv", *self._parts("csv")]:
            for fields in csv.DictReader(_whole_lines(path)):
                row = int(fields["row"])
                if row in details:
                    results[row] = _from_fields(fields, details[row])
        return results

    def merge(self, results: Sequence[PhotoResult]) -> None:
        """Rewrites the two tables: these photos alone, each once, in this order."""
        lines = [json.dumps({"row": r.row, **r.diagnostics.to_dict()}) + "\n" for r in results]
        write_text(self.folder / "diagnostics.jsonl", "".join(lines))
        rows = map(_to_fields, results)
        write_text(self.folder / "metrics.csv", csv_text([COLUMNS, *rows]))

    def photo_path(self, row: int, file: str) -> Path:
        """Where the restored photo of a row is kept: a PNG, so that it is kept as scored."""
        return self.folder / "restored" / f"{row:05d}_{Path(file).stem}.png"

    def features_path(self, row: int) -> Path:
        """Where the features of a row's photos are kept, which realism.py compares."""
        return self.folder / "features" / f"{row:05d}.npz"

    def _parts(self, suffix: str) -> list[Path]:
        return sorted((self.folder / "parts").glob(f"*_of_*.{suffix}"))

    def _clear(self) -> None:
        for name in (*_PRODUCTS, "settings.json"):
            (self.folder / name).unlink(missing_ok=True)
        for name in ("parts", "restored", "features"):
            shutil.rmtree(self.folder / name, ignore_errors=True)


def read_results(folder: str | os.PathLike[str]) -> tuple[dict[str, Any], list[PhotoResult]]:
    """Reads a finished evaluation: its summary and its photos in the manifest's order.

    Raises:
      UserError: there is no finished evaluation in the folder.
    """
    folder = Path(folder)
    summary = _read_json(folder / "summary.json")
    results = ResultFolder(folder).read()
    return summary, [results[row] for row in sorted(results)]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: is missing; evaluate first") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: cannot be read (it holds no fields)")
    return found


def _difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    for name in wanted:
        if found.get(name) != wanted[name]:
            return f"{name} = {found.get(name)!r} where {wanted[name]!r} is asked for"
    return "other settings"


def _to_fields(result: PhotoResult) -> list[str]:
    fields = [" ".join(result.file.split("\n")), str(result.row)]
    fields += [str(result.height), str(result.width)]
    for scores in (result.rainy, result.restored):
        fields += ["" if math.isnan(scores[key]) else f"{scores[key]:.6f}" for key in SCORES]
    return [*fields, f"{result.seconds:.4f}"]


def _from_fields(fields: Mapping[str, str], diagnostics: Diagnostics) -> PhotoResult:
    # Tables of before a score was known lack its columns.
    rainy, restored = (
        {key: float(fields.get(f"{photo}_{key}") or "nan") for key in SCORES}
        for photo in ("rainy", "restored")
    )
    return PhotoResult(
        file=fields["file"],
        row=int(fields["row"]),
        height=int(fields["height"]),
        width=int(fields["width"]),
        rainy=rainy,
        restored=restored,
        seconds=float(fields["seconds"]),
        diagnostics=diagnostics,
    )


def _append(path: Path, text: str) -> None:
    """One write call: after a crash a line may lack its end, but nothing stands in its middle."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab", buffering=0) as file:
            file.write(text.encode())
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); "
            "choose another place or free some space"
        ) from error


def _whole_lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return [f"{line}\n" for line in text.split("\n")[:-1]]


def _give_all_columns(path: Path) -> None:
    """Rewrites a table of before a score was known, with an empty column for it."""
    lines = _whole_lines(path)
    if lines and next(csv.reader(lines)) != COLUMNS:
        rows = [[row.get(name, "") for name in COLUMNS] for row in csv.DictReader(lines)]
        write_text(path, csv_text([COLUMNS, *rows]))


def _drop_torn_line(path: Path) -> None:
    if path.exists():
        data = path.read_bytes()
        if data and not data.endswith(b"\n"):
            os.truncate(path, data.rfind(b"\n") + 1)
