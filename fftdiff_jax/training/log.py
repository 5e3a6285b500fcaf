"""A run's log: metrics.csv that survives restarts, TensorBoard events, sample pictures."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from fftdiff_jax.data.images import save_png
from fftdiff_jax.errors import UserError
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

    def __init__(self, workdir: Path, resumed_step: int, *, unfinished_row: bool = False) -> None:
        """Opens the log after `resumed_step` finished steps (0: anew).

        Args:
          workdir: the run's folder.
          resumed_step: rows after it are dropped.
          unfinished_row: drop the row of that step too; it will be written again, with scores.
        """
        self._path = workdir / "metrics.csv"
        rows: list[dict[str, str]] = []
        if self._path.exists():
            rows = _rows(self._path, resumed_step - int(unfinished_row))
        write_text(self._path, _csv([{k: row.get(k) or "" for k in COLUMNS} for row in rows]))
        self._events = _Events(workdir, purge_step=resumed_step + 1 - int(unfinished_row))
        self._samples = workdir / "samples"

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a row; columns without a value stay empty.

        Raises:
          UserError: it cannot be written (a full disk); metrics.csv keeps no part of it.
        """
        row = {"step": str(step), **{name: repr(float(value)) for name, value in values.items()}}
        try:
            _append(self._path, _csv([row], header=False))
            for name, value in values.items():
                self._events.add(step, summary.scalar(name, float(value)))
            self._events.flush()
        except OSError as error:
            raise UserError(
                f"{self._path}: step {step} cannot be logged ({error.strerror}); free some space"
            ) from error

    def picture(self, step: int, rows: UInt8[np.ndarray, "h w 3"]) -> None:
        """Saves a sheet of sample pictures as samples/STEP.png, and for TensorBoard.

        Raises:
          UserError: it cannot be written.
        """
        path = self._samples / f"{step:07d}.png"
        save_png(path, rows)
        try:
            self._events.add(step, summary.image("samples", rows, dataformats="HWC"))
            self._events.flush()
        except OSError as error:
            raise UserError(
                f"{path}: cannot be logged ({error.strerror}); free some space"
            ) from error

    def close(self) -> None:
        """Flushes the events."""
        self._events.close()


class NoLog:
    """The log of all processes but the first."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes nothing."""

    def picture(self, step: int, rows: UInt8[np.ndarray, "h w 3"]) -> None:
        """Writes nothing."""

    def close(self) -> None:
        """Has nothing to close."""


class _Events:
    """TensorBoard's events, written here and now.

    tensorboardX's own writer hands them to a thread, which ends at the first full disk; the run
    then waits for it for ever.
    """

    def __init__(self, workdir: Path, purge_step: int) -> None:
        self._prefix = str(workdir / "events")
        self._files = 0
        self._writer: EventsWriter | None = None
        with contextlib.suppress(OSError):
            # TensorBoard forgets the events from purge_step on, which come again.
            self._write(
                Event(
                    wall_time=time.time(),
                    step=purge_step,
                    session_log=SessionLog(status=SessionLog.SessionStatus.Value("START")),
                )
            )
            self.flush()

    def add(self, step: int, values: object) -> None:
        self._write(Event(wall_time=time.time(), step=step, summary=values))

    def flush(self) -> None:
        try:
            if self._writer is not None:
                self._writer.flush()
        except OSError:
            self._drop()
            raise

    def close(self) -> None:
        with contextlib.suppress(OSError):
            if self._writer is not None:
                self._writer.close()
        self._writer = None

    def _write(self, event: Event) -> None:
        try:
            if self._writer is None:
                self._files += 1
                self._writer = EventsWriter(self._prefix, f".{os.getpid()}.{self._files}")
            self._writer.write_event(event)
        except OSError:
            self._drop()
            raise

    def _drop(self) -> None:
        # What could not be written stays in the file's buffer; the next events get another file.
        self.close()


def _append(path: Path, text: str) -> None:
    """Adds `text` whole, or leaves the file as it was."""
    size = path.stat().st_size
    try:
        with path.open("a", newline="", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        os.truncate(path, size)
        raise


def _rows(path: Path, last: int) -> list[dict[str, str]]:
    """The rows of metrics.csv up to a step; `UserError` where it is none."""
    try:
        if not path.is_file():  # a pipe would never end
            raise UserError(f"{path}: is no plain file; move it away")
        text = path.read_text(encoding="utf-8")
        # A killed run may have left half a line behind.
        lines = text[: text.rfind("\n") + 1].splitlines()
        return [row for row in csv.DictReader(lines) if _step(row) <= last]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read ({error}); move it away") from error


def _step(row: Mapping[str, str]) -> float:
    try:
        return int(row["step"])
    except (KeyError, TypeError, ValueError):
        return float("inf")


def _csv(rows: list[dict[str, str]], *, header: bool = True) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
