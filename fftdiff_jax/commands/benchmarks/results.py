"""The JSON file of results: parts are added to it one by one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from fftdiff_jax.errors import UserError
from fftdiff_jax.files import write_text


def read(path: Path) -> dict[str, Any]:
    """Reads earlier results; `UserError` where the file holds something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"--output {path}: is no file of results ({error})") from error
    if not isinstance(found, dict) or not {"device", "versions"} <= set(found):
        raise UserError(f"--output {path}: is no file of results; choose another name")
    return found


def merge(found: dict[str, Any], part: str, measured: dict[str, Any]) -> dict[str, Any]:
    """Adds one part. Device and versions are those of the last part measured, and each part's own
    are kept beside it, for parts may come from different days.
    """
    origin = {"device": measured["device"], "versions": measured["versions"]}
    return {
        **found,
        part: measured["result"],
        **origin,
        "measured": {**found.get("measured", {}), part: origin},
    }


def write(path: Path, found: dict[str, Any]) -> None:
    """Writes all results, whole or not at all."""
    write_text(path, json.dumps(found, indent=2) + "\n")


def require_writable(path: Path | None) -> None:
    """Raises `UserError` for a place that cannot be written, before anything is measured."""
    if path is None:
        return
    folder = path.absolute().parent
    if path.is_dir():
        raise UserError(f"--output {path}: is a folder; name a file in it")
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        raise UserError(f"--output {path}: no permission to write there")
