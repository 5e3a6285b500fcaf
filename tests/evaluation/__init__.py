"""An evaluation of few pairs, and what it leaves."""

import csv
from pathlib import Path

from fftdiff_jax.evaluation.evaluate import evaluate as evaluate_with
from fftdiff_jax.evaluation.settings import EvaluationSettings


def evaluate(restorer, manifest, folder, model="", **options):
    """The evaluation with settings that differ from the usual ones in `options`."""
    return evaluate_with(restorer, manifest, folder, EvaluationSettings(**options), model=model)


def table(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def without_seconds(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]
