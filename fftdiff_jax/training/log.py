"""A run's log: metrics.csv that survives restarts, TensorBoard events, sample pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from tensorboardX import SummaryWriter

from fftdiff_jax.data.images import save_png
from fftdiff_jax.files import write_text

COLUMNS = (
    "step",
    "loss",
    "images_per_second",
    "gradient_norm",
    "update_norm",
    "parameter_norm",
    "val_psnr_y",
    "val_gain_y",
)


class RunLog:
    """Writes what a run measures; a resumed run drops the rows that it is about to repeat."""

    def __init__(self, workdir: Path, resumed_step: int) -> None:
        """Opens the log after `resumed_step` finished steps (0: anew)."""
        self._path = workdir / "metrics.csv"
        rows = []
        if self._path.exists():
            with self._path.open(newline="", encoding="utf-8") as file:
                # A killed run may have left half a line behind.
                rows = [row for row in csv.DictReader(file) if _step(row) <= resumed_step]
        write_text(self._path, _csv([{k: row.get(k) or "" for k in COLUMNS} for row in rows]))
        # purge_step: TensorBoard forgets the events after the step that is resumed.
        self._events = SummaryWriter(str(workdir), purge_step=resumed_step + 1)
        self._samples = workdir / "samples"

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a row; columns without a value stay empty."""
        row = {"step": str(step), **{name: repr(float(value)) for name, value in values.items()}}
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n").writerow(row)
        for name, value in values.items():
            self._events.add_scalar(name, float(value), step)

    def picture(self, step: int, rows: UInt8[np.ndarray, "h w 3"]) -> None:
        """Saves a sheet of sample pictures."""
        save_png(self._samples / f"{step:07d}.png", rows)
        self._events.add_image("samples", rows, step, dataformats="HWC")

    def close(self) -> None:
        """Flushes the events."""
        self._events.close()


def _step(row: Mapping[str, str]) -> float:
    try:
        return int(row["step"])
    except (KeyError, TypeError, ValueError):
        return float("inf")


def _csv(rows: list[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
