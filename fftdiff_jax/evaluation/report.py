"""A report of an evaluation in one HTML file that needs nothing else, not even a network.

Pictures are inlined, bounded in size and number; the page's own script sorts the table and moves
the sliders. The page is templates/report.html.j2, which escapes every name that comes from a file.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from PIL import Image

from fftdiff_jax import figures
from fftdiff_jax.evaluation.records import PhotoResult
from fftdiff_jax.files import write_text
from fftdiff_jax.metrics import calibration
from fftdiff_jax.metrics.scores import SCORES, Score
from fftdiff_jax.words import counted

TEMPLATES = Path(__file__).with_name("templates")
PICTURE_SIDE = 900  # longer side of an inlined photo, in pixels
PICTURE_QUALITY = 88  # of its JPEG
REALISM = (("frechet_2", "Fréchet distance, fine"), ("frechet_3", "Fréchet distance, coarse"))

_Pixels = UInt8[np.ndarray, "h w 3"]


@dataclasses.dataclass(frozen=True)
class Shown:
    """One photo to compare by hand: its result, and the rainy, restored and clean pixels."""

    result: PhotoResult
    rainy: _Pixels
    restored: _Pixels
    clean: _Pixels


@dataclasses.dataclass(frozen=True)
class Section:
    """What the report shows of one model at one number of steps.

    Attributes:
      name: the model's.
      summary: of `summary.summarise`.
      results: every photo.
      shown: some of them, worst first.
    """

    name: str
    summary: Mapping[str, Any]
    results: Sequence[PhotoResult]
    shown: Sequence[Shown]


def write_report(path: str | os.PathLike[str], sections: Sequence[Section]) -> None:
    """Writes the page, whole or not at all.

    Raises:
      UserError: the file cannot be written.
    """
    first = sections[0].summary
    source = str(first.get("manifest", ""))
    page = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    ).get_template("report.html.j2")
    text = page.render(
        title=f"Deraining {Path(source).name}: {counted(first['num_images'], 'photo')}",
        subtitle=source,
        comparison=_comparison(sections) if len(sections) > 1 else None,
        sections=[_section(section) for section in sections],
    )
    write_text(path, text + "\n")


class _Head(NamedTuple):
    """The head of a column, and what a pointer over it reads."""

    text: str
    tip: str = ""


class _Cell(NamedTuple):
    """What a cell shows, and what its column is sorted by."""

    text: str
    value: Any


class _Chart(NamedTuple):
    """A picture as a data URI, and the words below it."""

    uri: str
    caption: str


def _comparison(sections: Sequence[Section]) -> dict[str, Any]:
    scores = [
        score
        for score in SCORES.values()
        if any(score.key in section.summary["restored"] for section in sections)
    ]
    rainy = sections[0].summary["rainy"]
    rows = [[_Cell("rainy photos", "rainy photos"), _Cell("", ""), _Cell("", "")]]
    rows[0] += [*(_score_cell(score, rainy) for score in scores), _Cell("", "")]
    for section in sections:
        summary = section.summary
        row = [_Cell(str(x), x) for x in (section.name, summary["steps"], summary["draws"])]
        row += [_score_cell(score, summary["restored"]) for score in scores]
        seconds = summary["seconds_per_image"]
        rows.append([*row, _Cell(f"{seconds:.2f}", seconds)])
    heads = [_Head("model"), _Head("steps"), _Head("draws"), *map(_head, scores)]
    points = [
        {"name": s.name, **{k: s.summary[k] for k in ("steps", "draws")}, **s.summary["restored"]}
        for s in sections
    ]
    chart = None
    if all("lpips" in point for point in points):
        chart = _chart(figures.perception_distortion(points, rainy), "PSNR against LPIPS")
    return {"heads": [*heads, _Head("s a photo")], "rows": rows, "chart": chart}


def _section(section: Section) -> dict[str, Any]:
    steps, draws = section.summary["steps"], section.summary["draws"]
    drawn = f"{counted(steps, 'step')}, {counted(draws, 'draw')}"
    heads, rows = _photo_table(section.results)
    return {
        "label": f"{section.name}: {drawn if draws else 'best photo'}",
        "tiles": _tiles(section.summary),
        "photos": [_photo(shown) for shown in section.shown],
        "charts": _charts(section),
        "heads": heads,
        "rows": rows,
    }


def _tiles(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    tiles = []
    for key, score in SCORES.items():
        if key not in summary["restored"]:
            continue
        interval = ""
        if "gain" in summary["intervals"]:
            low, high = summary["intervals"]["gain"][key]
            interval = f"[{score.text(low, sign=True)}, {score.text(high, sign=True)}]"
        tiles.append(
            {
                "title": f"{score.title}, {score.unit}" if score.unit else score.title,
                "tip": _tip(score),
                "value": score.text(summary["restored"][key]),
                "rainy": score.text(summary["rainy"][key]),
                "gain": score.text(summary["gain"][key], sign=True),
                "interval": interval,
            }
        )
    if "realism" in summary:
        restored, rainy = (summary["realism"][name] for name in ("restored", "rainy"))
        for key, title in REALISM:
            low, high = restored.get("intervals", {}).get(key, (math.nan, math.nan))
            tiles.append(
                {
                    "title": title,
                    "tip": "between features of restored and of clean photos; lower is better",
                    "value": f"{restored[key]:.1f}",
                    "rainy": f"{rainy[key]:.1f}",
                    "gain": f"{restored[key] - rainy[key]:+.1f}",
                    "interval": "" if math.isnan(low) else f"[{low:.1f}, {high:.1f}]",
                }
            )
    seconds = {"title": "seconds a photo", "value": f"{summary['seconds_per_image']:.2f}"}
    return [*tiles, dict.fromkeys(("tip", "rainy", "gain", "interval"), "") | seconds]


def _photo(shown: Shown) -> dict[str, str]:
    before, after = (scores["psnr_y"] for scores in (shown.result.rainy, shown.result.restored))
    return {
        "name": shown.result.file,
        "change": f"{before:.2f} to {after:.2f} dB\n({shown.result.gain:+.2f})",
        "rainy": _photo_uri(shown.rainy),
        "restored": _photo_uri(shown.restored),
        "clean": _photo_uri(shown.clean),
    }


def _charts(section: Section) -> list[_Chart]:
    whole = calibration.average([result.diagnostics for result in section.results])
    rainy, restored = (
        np.array([getattr(result, kind)["psnr_y"] for result in section.results])
        for kind in ("rainy", "restored")
    )
    charts = [
        _chart(figures.gains(rainy, restored), "PSNR of every photo before and after"),
        _chart(
            figures.error_by_frequency(
                calibration.FREQUENCIES,
                whole.rainy_power,
                whole.restored_power,
                whole.spread_power,
            ),
            "Error by radial frequency",
        ),
    ]
    found = section.summary.get("calibration")
    if found is not None:
        figure = figures.spread_against_error(
            calibration.SPREADS, whole.spread_share, whole.error_square
        )
        charts.append(_chart(figure, "The spread of the draws against the real error"))
        names = [f"{100 * level:g}" for level in calibration.LEVELS]
        after = found.get("calibrated_coverage")
        figure = figures.coverage(
            calibration.LEVELS,
            [found["coverage"][name] for name in names],
            None if after is None else [after[name] for name in names],
        )
        note = f"Coverage of central intervals; the scalar is {found['scalar']:.2f}"
        if after is not None:
            note += ", each photo judged with one fitted on others"
        charts.append(_chart(figure, note))
    return charts


def _photo_table(results: Sequence[PhotoResult]) -> tuple[list[_Head], list[list[_Cell]]]:
    scores = [
        score
        for key, score in SCORES.items()
        if any(not math.isnan(result.restored[key]) for result in results)
    ]
    heads = [_Head("photo"), _Head("row"), _Head("size"), _Head("gain, dB", "of PSNR Y")]
    for score in scores:
        heads += [_head(score), _Head(f"{score.title} rainy", _tip(score))]
    rows = []
    for result in results:
        cells = [
            _Cell(result.file, result.file),
            _Cell(str(result.row), result.row),
            _Cell(f"{result.width}x{result.height}", result.width * result.height),
            _Cell(f"{result.gain:+.2f}", result.gain),
        ]
        for score in scores:
            cells += [_score_cell(score, found) for found in (result.restored, result.rainy)]
        rows.append([*cells, _Cell(f"{result.seconds:.2f}", result.seconds)])
    return [*heads, _Head("seconds")], rows


def _head(score: Score) -> _Head:
    return _Head(score.title, _tip(score))


def _tip(score: Score) -> str:
    return f"{score.about}; {score.better} is better"


def _score_cell(score: Score, values: Mapping[str, float]) -> _Cell:
    """Empty where the score was not measured."""
    value = values.get(score.key, math.nan)
    return _Cell("", "") if math.isnan(value) else _Cell(score.text(value), value)


def _photo_uri(photo: _Pixels) -> str:
    image = Image.fromarray(photo)
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=PICTURE_QUALITY, subsampling=0)
    return _uri("image/jpeg", file.getvalue())


def _chart(figure: Figure, caption: str) -> _Chart:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150)
    return _Chart(_uri("image/png", file.getvalue()), caption)


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
