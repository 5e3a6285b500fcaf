"""Several models and step counts on the same pairs, in one table."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxtyping import PyTree

from fftdiff_jax.config import SamplingConfig
from fftdiff_jax.data.manifest import Manifest
from fftdiff_jax.evaluation.evaluate import PhotoRestorer, evaluate, load_photos, weights_digest
from fftdiff_jax.evaluation.records import ResultFolder, read_results
from fftdiff_jax.evaluation.settings import EvaluationSettings
from fftdiff_jax.files import csv_text, write_text
from fftdiff_jax.metrics.scores import SCORES, Score
from fftdiff_jax.words import counted

if TYPE_CHECKING:
    from fftdiff_jax.restore.restorer import Restorer

REPORTED_PHOTOS = 6  # to compare by hand in report.html, over all entries; two an entry at least


@dataclasses.dataclass(frozen=True)
class Model:
    """One checkpoint to evaluate.

    Attributes:
      path: where it was found.
      restorer: what is evaluated.
      params: its weights: results of other weights are not mixed with these.
      step: how many training steps it has seen.
      way: how it samples, where that is not the usual way.
    """

    path: str
    restorer: PhotoRestorer
    params: PyTree
    step: int
    way: str = ""

    @classmethod
    def of(cls, restorer: Restorer, **changes: Any) -> Model:
        """The model of a restorer; with `changes` it samples in another way (`with_sampling`)."""
        restorer = restorer.with_sampling(**changes)
        usual = dataclasses.asdict(SamplingConfig())
        own = dataclasses.asdict(restorer.config.sampling)
        # Steps and draws are the table's own columns.
        unusual = (k for k in own if own[k] != usual[k] and k not in ("steps", "draws"))
        way = ", ".join(f"{name}={own[name]}" for name in unusual)
        return cls(restorer.name, restorer, restorer.params, restorer.step, way)

    def digest(self) -> str:
        """What tells its results from those of other weights, or of another way to sample."""
        digest = f"{weights_digest(self.params)} at step {self.step}"
        return f"{digest}, {self.way}" if self.way else digest


@dataclasses.dataclass(frozen=True)
class Entry:
    """One row of the table: a name, what was evaluated, its result folder, and its summary."""

    name: str
    restorer: PhotoRestorer
    folder: Path
    summary: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Entries in the order asked for, and the files that hold the whole."""

    entries: tuple[Entry, ...]
    files: tuple[Path, ...]

    def text(self) -> str:
        """The table for a terminal: means over photos, the rainy photos first."""
        names = [entry.name for entry in self.entries]
        width = max(len("rainy"), *(len(name) for name in names))
        count = self.entries[0].summary["num_images"]
        head = f"{counted(count, 'photo'):<{width}} {'steps':>5} {'draws':>5} "
        scores = [
            score
            for score in SCORES.values()
            if any(score.key in entry.summary["restored"] for entry in self.entries)
        ]
        headings = "".join(f"{score.title:>{_width(score)}}" for score in scores)
        lines = [head + headings + f"{'s/photo':>9}"]
        lines.append(
            f"{'rainy':<{width}} {'':>5} {'':>5} " + _cells(self.entries[0], "rainy", scores)
        )
        for entry in self.entries:
            lines.append(
                f"{entry.name:<{width}} {entry.summary['steps']:>5} {entry.summary['draws']:>5} "
                + _cells(entry, "restored", scores)
                + f"{entry.summary['seconds_per_image']:>9.2f}"
            )
        for entry in self.entries:
            lines.append(f"{entry.name}: {_gain(entry)}")
        return "\n".join(lines)


def evaluate_models(
    models: Sequence[Model],
    manifest: Manifest,
    output_dir: Path,
    settings: EvaluationSettings = EvaluationSettings(),
    *,
    steps: Sequence[int | None] = (None,),
    report: bool = True,
) -> Comparison | None:
    """Evaluates every model at every step count.

    One of them leaves its results in `output_dir` itself; several leave them in a folder each, and
    comparison.csv and comparison.json beside these.

    Args:
      models: what to evaluate.
      manifest: the pairs.
      output_dir: where results go.
      settings: how, but for the steps.
      steps: step counts; None is each model's own.
      report: write report.html.

    Returns:
      The table, or None where other processes have not done their part.

    Raises:
      UserError: as `evaluate.evaluate`.
    """
    names = distinct_names([model.path for model in models])
    several = len(models) * len(steps) > 1
    entries = []
    complete = True
    for name, model in zip(names, models, strict=True):
        for count in dict.fromkeys(steps):
            count = model.restorer.default_steps if count is None else count
            folder = output_dir / f"{name}_steps_{count}" if several else output_dir
            summary = evaluate(
                model.restorer,
                manifest,
                folder,
                dataclasses.replace(settings, steps=count),
                model=model.digest(),
            )
            if summary is None:
                complete = False
                continue
            entries.append(Entry(name, model.restorer, folder, summary))
    if not complete:
        return None
    files = [entries[0].folder / name for name in ("metrics.csv", "summary.json")]
    files.append(entries[0].folder / "before_after.png")
    if several:
        files = [output_dir / "comparison.csv", output_dir / "comparison.json"]
        _write_tables(entries, *files)
    if report:
        files.append(output_dir / "report.html")
        _write_report(files[-1], entries, manifest)
    return Comparison(tuple(entries), tuple(files))


def _write_report(path: Path, entries: Sequence[Entry], manifest: Manifest) -> None:
    from fftdiff_jax.evaluation.report import Section, Shown, write_report  # Matplotlib, late

    ends = max(1, REPORTED_PHOTOS // len(entries) // 2)
    sections = []
    for entry in entries:
        summary, results = read_results(entry.folder)
        results = results[: summary["num_images"]]
        ranked = sorted(results, key=lambda result: result.gain)
        chosen = ranked[:ends] + ranked[max(ends, len(ranked) - ends) :]
        settings = EvaluationSettings(summary["steps"], summary["draws"], seed=summary["seed"])
        folder = ResultFolder(entry.folder)
        shown = [
            Shown(r, *load_photos(entry.restorer, manifest, folder, r, settings)) for r in chosen
        ]
        sections.append(Section(entry.name, summary, results, shown))
    write_report(path, sections)


def _write_tables(entries: Sequence[Entry], table: Path, details: Path) -> None:
    columns = ["num_images", "steps", "draws", "seconds_per_image"]
    scores = [f"{photo}_{key}" for photo in ("rainy", "restored") for key in SCORES]
    rows = [["name", "folder", *columns, *scores]]
    for entry in entries:
        values = [entry.summary[column] for column in columns]
        for photo in ("rainy", "restored"):
            values += [entry.summary[photo].get(key, "") for key in SCORES]
        rows.append([entry.name, entry.folder.name, *values])
    write_text(table, csv_text(rows))
    listed = [{"name": e.name, "folder": e.folder.name, **e.summary} for e in entries]
    write_text(details, json.dumps(listed, indent=2) + "\n")


def distinct_names(paths: Sequence[str]) -> list[str]:
    """The shortest tail of each path that no other path shares; numbered where a path is repeated.

    They name folders: the parts of a tail are joined by underscores.
    """
    parts = [Path(path).absolute().parts[1:] or ("root",) for path in paths]
    different = len(set(parts))
    for length in range(1, max(map(len, parts)) + 1):
        names = ["_".join(part[-length:]) for part in parts]
        if len(set(names)) == different:
            break
    if len(set(names)) == len(names):
        return names
    return [f"{name}_{i + 1}" for i, name in enumerate(names)]


def _cells(entry: Entry, photo: str, scores: Sequence[Score]) -> str:
    means = entry.summary[photo]
    cells = []
    for score in scores:
        value = means.get(score.key, math.nan)
        cells.append(f"{'-' if math.isnan(value) else score.text(value):>{_width(score)}}")
    return "".join(cells)


def _width(score: Score) -> int:
    return max(10, len(score.title) + 2)


def _gain(entry: Entry) -> str:
    text = f"{entry.summary['gain']['psnr_y']:+.2f} dB on Y"
    if "gain" in entry.summary["intervals"]:
        low, high = entry.summary["intervals"]["gain"]["psnr_y"]
        text += f" (95 %: {low:+.2f} to {high:+.2f})"
    if "calibration" in entry.summary:
        found = entry.summary["calibration"]
        text += f"; the 80 % intervals hold {100 * found['coverage']['80']:.0f} % of the pixels"
        if "calibrated_coverage" in found:
            after = 100 * found["calibrated_coverage"]["80"]
            text += f", {after:.0f} % when multiplied by {found['scalar']:.2f}"
    return text
