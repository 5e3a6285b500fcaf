"""Figures of numbers: where rain lives, errors by frequency, spread against error, scores.

Each function takes plain arrays and returns a Matplotlib figure; `figures` names them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from fftdiff_jax.figures import style

DECIBELS = 20 / np.log(10)  # of a natural logarithm of magnitudes


def where_rain_lives(
    log_ratio: Float[np.ndarray, "h w"], pairs: int = 0, *, bands: int = 4
) -> Figure:
    """By how much rain raises each frequency: a map, and by angle in octaves of frequency.

    `log_ratio` is the mean over so many pairs of log |rainy| / |clean| (natural logarithm) on a
    centred spectrum: red is what rain brings and restoring takes away. The angle is the wave's:
    streaks that fall straight down are waves across, at 0.
    """
    level = log_ratio * DECIBELS
    rows, columns = (np.fft.fftshift(np.fft.fftfreq(size)) for size in level.shape)
    frequency = np.hypot(rows[:, None], columns[None, :])
    # A photo's spectrum is its own mirror image: angles of half a turn are all there are. Rows
    # count downwards, angles upwards.
    angle = np.rad2deg(np.arctan2(-rows[:, None], columns[None, :]))
    angle = (angle + 90) % 180 - 90
    figure = style.figure(9.6, 4.1, between=0.04)
    left, right = figure.subplots(1, 2, width_ratios=[1.05, 1])
    scale = style.centred(level[frequency <= 0.5], 99)
    style.show_spectrum(left, level, colour_label="rainy over clean, dB", labelled=True, **scale)
    left.set_title(
        f"mean over {pairs} pairs" if pairs else "mean over pairs", fontsize=style.NORMAL
    )
    edges = np.linspace(-90, 90, 37)
    middles = (edges[1:] + edges[:-1]) / 2
    for i in range(bands):
        high = 0.5 / 2**i
        ring = (frequency > high / 2) & (frequency <= high)
        bins = np.clip(np.digitize(angle[ring], edges) - 1, 0, len(middles) - 1)
        counts = np.bincount(bins, minlength=len(middles))
        means = np.bincount(bins, level[ring], len(middles)) / np.maximum(counts, 1)
        label = f"1/{round(2 / high)} to 1/{round(1 / high)}"
        line = {"color": style.LINES[i], "marker": style.MARKERS[i], "label": label}
        right.plot(middles[counts > 0], means[counts > 0], ms=3, lw=1.5, **line)
    right.axhline(0, color=style.GREY, lw=0.8)
    style.finish(right, "direction of the wave, degrees from horizontal", "rainy over clean, dB")
    right.set_xticks(range(-90, 91, 30))
    right.legend(
        title="cycles a pixel", fontsize=style.SMALL, title_fontsize=style.SMALL, frameon=False
    )
    return figure


def error_by_frequency(
    edges: Float[np.ndarray, " f1"],
    rainy_power: Float[np.ndarray, " f"],
    restored_power: Float[np.ndarray, " f"],
    spread_power: Float[np.ndarray, " f"] | None = None,
) -> Figure:
    """Root mean square error of a spectrum's coefficients by radial frequency, before and after.

    `edges` are in cycles a pixel; powers are mean squares in the rings between them, of photos in
    [0, 1] under the orthonormal FFT. The spread is that of the draws about their mean.
    """
    middles = (edges[1:] + edges[:-1]) / 2
    figure = style.figure(6.4, 3.9)
    ax = figure.subplots()
    curves = [
        ("rainy", rainy_power, style.RAINY, "o"),
        ("restored", restored_power, style.RESTORED, "s"),
    ]
    if spread_power is not None and len(spread_power):
        curves.append(("spread of the draws", spread_power, style.SPREAD, "D"))
    for name, power, colour, marker in curves:
        seen = np.isfinite(power)
        values = np.sqrt(power[seen])
        ax.plot(middles[seen], values, color=colour, marker=marker, ms=3.5, lw=1.6, label=name)
    ax.set_yscale("log")
    style.logarithmic(ax.yaxis)
    ax.set_xlim(0, edges[-1])
    style.finish(
        ax, "radial frequency, cycles a pixel", "error of a coefficient (RMS, photo in 0..1)"
    )
    ax.legend(fontsize=style.SMALL, frameon=False)
    return figure


def perception_distortion(
    points: Sequence[Mapping[str, Any]], rainy: Mapping[str, float] | None = None
) -> Figure:
    """PSNR against LPIPS over steps and draws: up is nearer to the truth, right looks more real.

    Each point has name, steps, draws, psnr_y and lpips; points of one name and one number of draws
    are joined in the order of their steps. `rainy` (psnr_y, lpips) is where the photos start.
    """
    figure = style.figure(6.4, 4.4)
    ax = figure.subplots()
    groups: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for point in points:
        groups.setdefault((point["name"], point["draws"]), []).append(point)
    names = list(dict.fromkeys(name for name, _ in groups))
    counts = sorted({draws for _, draws in groups})
    for (name, draws), members in groups.items():
        members = sorted(members, key=lambda point: point["steps"])
        colour = style.LINES[names.index(name) % len(style.LINES)]
        marker = style.MARKERS[counts.index(draws) % len(style.MARKERS)]
        drawn = f"{draws} draw{'s' * (draws > 1)}" if draws else "best photo"
        label = f"{name}, {drawn}"
        across = [point["lpips"] for point in members]
        up = [point["psnr_y"] for point in members]
        ax.plot(across, up, color=colour, marker=marker, ms=6, lw=1, label=label)
        for point, x, y in zip(members, across, up, strict=True):
            ax.annotate(
                str(point["steps"]),
                (x, y),
                (5, 5),
                textcoords="offset points",
                fontsize=style.SMALL,
            )
    ax.margins(0.2)
    if rainy is not None:
        _mark_start(ax, rainy)
    ax.invert_xaxis()
    style.finish(ax, "LPIPS (AlexNet), smaller looks more real  \u2192", "PSNR on Y, dB")
    ax.legend(
        fontsize=style.SMALL,
        frameon=False,
        title="numbers: steps",
        title_fontsize=style.SMALL,
        loc="best",
    )
    return figure


def coverage(
    levels: Sequence[float], before: Sequence[float], after: Sequence[float] | None = None
) -> Figure:
    """How much of the truth central intervals hold, against how much they should (shares of 1)."""
    figure = style.figure(4.4, 3.9)
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1], color=style.GREY, lw=1, ls="--", label="calibrated")
    ax.plot(levels, before, color=style.RAINY, marker="o", lw=1.6, label="as drawn")
    if after is not None:
        ax.plot(levels, after, color=style.RESTORED, marker="s", lw=1.6, label="after one scalar")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set(xlim=(0, 1), ylim=(0, 1), xticks=levels, aspect="equal")
    style.finish(ax, "central interval", "pixels whose truth lies inside")
    ax.legend(fontsize=style.SMALL, frameon=False)
    return figure


def spread_against_error(
    edges: Float[np.ndarray, " s1"],
    pixel_fraction: Float[np.ndarray, " s"],
    error_square: Float[np.ndarray, " s"],
) -> Figure:
    """The error that pixels of each spread really have; on the diagonal they are equal.

    `edges` of the spread are in 0..1; `pixel_fraction` is each bin's part of all pixels,
    `error_square` the sum of its squared errors over the number of all pixels. Both axes show 8-bit
    grey levels.
    """
    used = pixel_fraction > 1e-4  # a mean over fewer pixels is mostly chance
    middles = 255 * np.sqrt(edges[1:] * edges[:-1])[used]
    error = 255 * np.sqrt(error_square[used] / pixel_fraction[used])
    figure = style.figure(4.4, 3.9)
    ax = figure.subplots()
    ends = [min(middles.min(), error.min()) / 1.3, max(middles.max(), error.max()) * 1.3]
    ax.plot(ends, ends, color=style.GREY, lw=1, ls="--", label="spread = error")
    ax.plot(middles, error, color=style.RESTORED, lw=1.2, zorder=2)
    ax.scatter(
        middles, error, s=6 + 250 * pixel_fraction[used], color=style.RESTORED, alpha=0.75, zorder=3
    )
    ax.scatter([], [], s=31, color=style.RESTORED, alpha=0.75, label="10 % of the pixels")
    ax.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
    style.logarithmic(ax.xaxis, ax.yaxis)
    style.finish(ax, "spread the model claims, grey levels", "error it has (RMS), grey levels")
    ax.legend(fontsize=style.SMALL, frameon=False)
    return figure


def gains(rainy: Float[np.ndarray, " n"], restored: Float[np.ndarray, " n"]) -> Figure:
    """Y-PSNR of every photo before and after: above the diagonal a photo has gained."""
    figure = style.figure(4.4, 3.9)
    ax = figure.subplots()
    values = np.concatenate([rainy, restored])
    margin = 0.05 * (values.max() - values.min()) + 0.5
    ends = [values.min() - margin, values.max() + margin]
    ax.plot(ends, ends, color=style.GREY, lw=1, ls="--", label="no change")
    ax.scatter(rainy, restored, s=14, color=style.RESTORED, alpha=0.7, label="a photo")
    ax.set(xlim=ends, ylim=ends, aspect="equal")
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.yaxis.set_major_locator(MaxNLocator(6))
    style.finish(ax, "PSNR on Y of the rainy photo, dB", "of the restored photo, dB")
    ax.legend(fontsize=style.SMALL, frameon=False)
    return figure


def _mark_start(ax: Axes, rainy: Mapping[str, float]) -> None:
    """The rainy photos' place, or in the legend alone where it would press the rest together."""
    x, y = rainy["lpips"], rainy["psnr_y"]
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    wide = max(right, x) - min(left, x) > 4 * (right - left)
    tall = max(high, y) - min(low, y) > 4 * (high - low)
    label = f"rainy photos ({x:.3f}, {y:.2f} dB)"
    far = wide or tall
    ax.plot([] if far else [x], [] if far else [y], "X", color=style.GREY, ms=8, label=label)
