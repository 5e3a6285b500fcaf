"""A report of an evaluation in one HTML file that needs nothing else, not even a network.

Pictures are inlined, bounded in size and number; the page's own script sorts the table and moves
the sliders. Every name that comes from a file is escaped.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from PIL import Image

from fftdiff_jax import figures
from fftdiff_jax.evaluation.records import PhotoResult
from fftdiff_jax.files import write_text
from fftdiff_jax.metrics import calibration

PICTURE_SIDE = 900  # longer side of an inlined photo, in pixels
PICTURE_QUALITY = 88  # of its JPEG
PAGE = Path(__file__).with_name("report.html")  # with places for the parts
NAMES = {  # in the order of interest: tables are wider than most windows
    "psnr_y": "PSNR Y",
    "ssim_y": "SSIM Y",
    "lpips": "LPIPS",
    "lpips_vgg": "LPIPS VGG",
    "psnr_rgb": "PSNR RGB",
    "ssim_rgb": "SSIM RGB",
}

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
    """What the report says of one model at one number of steps.

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
    source = Path(str(first.get("manifest", ""))).name
    parts = {
        "title": html.escape(f"Deraining {source}: {first['num_images']} photos"),
        "subtitle": html.escape(str(first.get("manifest", ""))),
        "comparison": _comparison(sections),
        "entries": "\n".join(_section(i, section) for i, section in enumerate(sections)),
    }
    page = PAGE.read_text(encoding="utf-8")
    # One pass: braces in a file's name are no placeholder.
    write_text(path, re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], page))


def _comparison(sections: Sequence[Section]) -> str:
    if len(sections) == 1:
        return ""
    names = [name for name in NAMES if any(name in s.summary["restored"] for s in sections)]
    rows = [_score_row("rainy photos", "", "", sections[0].summary, "rainy", names)]
    for section in sections:
        summary = section.summary
        rows.append(
            _score_row(section.name, summary["steps"], summary["draws"], summary, "restored", names)
        )
    heads = ["model", "steps", "draws", *(NAMES[name] for name in names), "s a photo"]
    table = _table(heads, rows)
    points = [
        {"name": s.name, **{k: s.summary[k] for k in ("steps", "draws")}, **s.summary["restored"]}
        for s in sections
    ]
    chart = ""
    if all("lpips" in point for point in points):
        figure = figures.perception_distortion(points, sections[0].summary["rainy"])
        chart = f'<div class="charts">{_chart(figure, "PSNR against LPIPS")}</div>'
    tabs = "".join(
        f'<button role="tab" aria-controls="entry{i}" aria-selected="{str(i == 0).lower()}">'
        f"{html.escape(_label(section))}</button>"
        for i, section in enumerate(sections)
    )
    tabs = f'<div class="tabs" role="tablist">{tabs}</div>'
    return f"<h2>Comparison</h2>{table}{chart}{tabs}"


def _section(index: int, section: Section) -> str:
    summary = section.summary
    parts = [f'<section id="entry{index}"{" hidden" if index else ""}>']
    parts.append(f"<h2>{html.escape(_label(section))}</h2>")
    parts.append(f'<div class="tiles">{_tiles(summary)}</div>')
    parts.append("<h2>Photos that gained least and most</h2>")
    parts.append('<p class="soft">Drag across a photo, or use the arrow keys.</p>')
    parts.append(f'<div class="grid">{"".join(_slider(shown) for shown in section.shown)}</div>')
    parts.append(f'<h2>Figures</h2><div class="charts">{_charts(section)}</div>')
    parts.append("<h2>Every photo</h2>")
    parts.append(_photo_table(section.results))
    parts.append("</section>")
    return "\n".join(parts)


def _label(section: Section) -> str:
    steps, draws = section.summary["steps"], section.summary["draws"]
    return f"{section.name}: {steps} step{'s' * (steps != 1)}, {draws} draw{'s' * (draws != 1)}"


def _tiles(summary: Mapping[str, Any]) -> str:
    tiles = []
    for score, name in NAMES.items():
        if score not in summary["restored"]:
            continue
        gain = _number(score, summary["gain"][score], sign=True)
        if "gain" in summary["intervals"]:
            low, high = summary["intervals"]["gain"][score]
            gain += f"<br>[{_number(score, low, sign=True)}, {_number(score, high, sign=True)}]"
        before = _number(score, summary["rainy"][score])
        after = _number(score, summary["restored"][score])
        unit = ", dB" if score.startswith("psnr") else ""
        tiles.append(
            f'<div class="tile"><span class="soft">{name}{unit}</span><b>{after}</b>'
            f'<span class="soft">rainy {before}<br>change {gain}</span></div>'
        )
    tiles.append(
        '<div class="tile"><span class="soft">seconds a photo</span>'
        f"<b>{summary['seconds_per_image']:.2f}</b></div>"
    )
    return "".join(tiles)


def _slider(shown: Shown) -> str:
    result = shown.result
    name = html.escape(result.file)
    rainy, restored, clean = (
        _photo_uri(photo) for photo in (shown.rainy, shown.restored, shown.clean)
    )
    return f"""<figure>
<div class="slider"><img class="restored" src="{restored}" alt="{name}, restored">
<img class="clean" src="{clean}" alt="{name}, clean" hidden>
<img class="over" src="{rainy}" alt="{name}, rainy"><div class="bar"></div>
<span class="left">rainy</span><span class="right">restored</span>
<input type="range" min="0" max="100" step="0.5" value="50" aria-label="compare {name}"></div>
<figcaption><span>{name}: {result.rainy["psnr_y"]:.2f} to {result.restored["psnr_y"]:.2f} dB
({result.gain:+.2f})</span>
<label><input type="checkbox" class="truth"> show the clean photo</label></figcaption>
</figure>"""


def _charts(section: Section) -> str:
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
    return "".join(charts)


def _photo_table(results: Sequence[PhotoResult]) -> str:
    scores = [s for s in NAMES if any(not math.isnan(r.restored[s]) for r in results)]
    heads = ["photo", "row", "size", "gain, dB"]
    heads += [f"{NAMES[s]}{part}" for s in scores for part in ("", " rainy")]
    heads.append("seconds")
    rows = []
    for result in results:
        cells = [
            (result.file, result.file),
            (str(result.row), result.row),
            (f"{result.width}x{result.height}", result.width * result.height),
            (f"{result.gain:+.2f}", result.gain),
        ]
        for score in scores:
            for value in (result.restored[score], result.rainy[score]):
                missing = math.isnan(value)
                cells.append(("" if missing else _number(score, value), "" if missing else value))
        cells.append((f"{result.seconds:.2f}", result.seconds))
        rows.append(cells)
    return _table(heads, rows, "photos")


def _score_row(
    name: str,
    steps: Any,
    draws: Any,
    summary: Mapping[str, Any],
    key: str,
    scores: Sequence[str],
) -> list[tuple[str, Any]]:
    cells = [(name, name), (str(steps), steps), (str(draws), draws)]
    for score in scores:
        value = summary[key].get(score)
        cells.append(("", "") if value is None else (_number(score, value), value))
    seconds = summary["seconds_per_image"] if key == "restored" else ""
    return [*cells, (f"{seconds:.2f}" if key == "restored" else "", seconds)]


def _table(heads: Sequence[str], rows: Sequence[Sequence[tuple[str, Any]]], kind: str = "") -> str:
    """Cells are what is shown and what is sorted by."""
    head = "".join(
        f'<th scope="col"><button type="button">{html.escape(text)}</button></th>' for text in heads
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td data-value="{html.escape(str(value))}">{html.escape(text)}</td>'
            for text, value in row
        )
        + "</tr>\n"
        for row in rows
    )
    return (
        f'<div class="scroll {kind}"><table class="sortable"><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def _number(score: str, value: float, *, sign: bool = False) -> str:
    digits = 2 if score.startswith("psnr") else 4
    return f"{value:{'+' if sign else ''}.{digits}f}"


def _photo_uri(photo: _Pixels) -> str:
    image = Image.fromarray(photo)
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=PICTURE_QUALITY, subsampling=0)
    return _uri("image/jpeg", file.getvalue())


def _chart(figure: Figure, caption: str) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150)
    uri = _uri("image/png", file.getvalue())
    text = html.escape(caption)
    return f'<figure><img src="{uri}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
