"""Figures of photos and of their spectra.

Each function takes plain arrays and returns a Matplotlib figure; `figures` names them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure

from fftdiff_jax.figures import style
from fftdiff_jax.figures.style import Photo
from fftdiff_jax.metrics import draws as drawing
from fftdiff_jax.metrics.power import spectral_power

MOST_STEPS = 8  # columns of a draw's path


def before_after(
    rows: Sequence[tuple[str, Sequence[UInt8[np.ndarray, "h w 3"]], Sequence[str]]],
    titles: Sequence[str] = ("rainy", "restored", "clean"),
) -> Figure:
    """A grid of photos: each row has a label, one photo a title, and a caption below each photo."""
    width = 9.6 / len(titles)
    heights = [width * max(p.shape[0] / p.shape[1] for p in photos) for _, photos, _ in rows]
    figure = style.figure(9.6 + 0.4, sum(heights) + 0.3 * len(rows) + 0.3)
    axes = figure.subplots(len(rows), len(titles), squeeze=False, height_ratios=heights)
    for line, (label, photos, captions) in zip(axes, rows, strict=True):
        for ax, photo, caption in zip(line, photos, captions, strict=True):
            style.show(ax, photo)
            ax.set_xlabel(caption, fontsize=style.SMALL)
        line[0].set_ylabel(label, fontsize=style.SMALL)
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, fontsize=style.NORMAL + 1)
    return figure


def pair_with_spectra(clean: Photo, rainy: Photo) -> Figure:
    """A pair, its spectra, and the difference of both: photo, log-magnitude and phase.

    Magnitudes are the root mean square over R, G and B of the orthonormal spectrum; phases are the
    mean colour's. The last row holds what is learnt: clean - rainy, and clean over rainy of the
    spectra.
    """
    photos = [style.unit(clean), style.unit(rainy)]
    levels = [style.level(photo) for photo in photos]
    phases = [np.angle(style.spectrum(photo).mean(axis=-1)) for photo in photos]
    figure, axes = _grid(3, 3, clean, beside=0.76, above=0.27)
    low, high = np.percentile(np.stack(levels), [1, 99.9])
    amounts: dict[str, Any] = {"colour_label": "dB", "cmap": "magma", "vmin": low, "vmax": high}
    for line, name, photo, level, phase in zip(
        axes, ("clean", "rainy"), photos, levels, phases, strict=False
    ):
        style.show(line[0], photo)
        line[0].set_ylabel(name, fontsize=style.NORMAL + 1)
        style.show_spectrum(line[1], level, **amounts)
        style.show_spectrum(line[2], phase, colour_label="radians", **style.CYCLIC)
    for ax, title in zip(axes[0], ("photo", "magnitude", "phase"), strict=True):
        ax.set_title(title, fontsize=style.NORMAL + 1)
    last = axes[2]
    change = 255 * (photos[0] - photos[1]).mean(axis=-1)
    image = style.show(last[0], change, **style.centred(change, 99.5))
    style.colour_bar(image, last[0], "grey levels")
    last[0].set_ylabel("clean \u2212 rainy", fontsize=style.NORMAL + 1)
    ratio = levels[0] - levels[1]
    style.show_spectrum(last[1], ratio, colour_label="dB", ticks=True, **style.centred(ratio, 99))
    turned = np.angle(np.exp(1j * (phases[0] - phases[1])))
    style.show_spectrum(last[2], turned, colour_label="radians", ticks=True, **style.CYCLIC)
    titles = ("blue: darker without rain", "magnitude ratio", "phase difference")
    for ax, title in zip(last, titles, strict=True):
        ax.set_title(title, fontsize=style.NORMAL)
    return figure


def noising(
    photos: Float[np.ndarray, "n h w 3"],
    states: Float[np.ndarray, "n h w 6"],
    labels: Sequence[str],
) -> Figure:
    """The forward process: noisy states of one pair at rising times, and the photos they decode to.

    The states are shown as the mean over R, G and B of their magnitude and phase channels, clean
    over rainy, in the units of the noise: as grey as rain, the mean of its channels has nearly a
    std of 1 as well.
    """
    figure, axes = _grid(3, len(photos), photos[0], right=0.58)
    scale: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -2.5, "vmax": 2.5}
    for i, (photo, state, label) in enumerate(zip(photos, states, labels, strict=True)):
        style.show(axes[0, i], photo)
        axes[0, i].set_title(label, fontsize=style.NORMAL)
        bar = "std of the noise" if i == len(photos) - 1 else None
        for row, channels in ((1, state[..., :3]), (2, state[..., 3:])):
            shown = channels.mean(axis=-1)
            style.show_spectrum(
                axes[row, i], shown, colour_label=bar, ticks=i == 0 and row == 2, **scale
            )
    names = ("decoded photo", "magnitude channels", "phase channels")
    for line, name in zip(axes, names, strict=True):
        line[0].set_ylabel(name, fontsize=style.NORMAL)
    return figure


def sampling_path(
    rainy: Photo,
    photos: Float[np.ndarray, "s h w 3"],
    labels: Sequence[str],
    noisy: Float[np.ndarray, "s h w 3"] | None = None,
) -> Figure:
    """One draw on its way: the photo at every step, its spectrum, and what has changed in it.

    The last row is the magnitude over the rainy photo's, in dB: where the path takes energy away.
    With `noisy`, a first row shows what the noisy state decodes to before each step. Of more than
    `MOST_STEPS` steps as many are shown, evenly picked.
    """
    shown_steps = np.linspace(0, len(photos) - 1, min(len(photos), MOST_STEPS)).round().astype(int)
    photos, labels = photos[shown_steps], [labels[i] for i in shown_steps]
    shown = [style.unit(rainy), *(style.unit(photo) for photo in photos)]
    levels = [style.level(photo) for photo in shown]
    changes = [level - levels[0] for level in levels]
    names = ["clean\nestimate", "its\nmagnitude", "over the\nrainy one"]
    if noisy is not None:
        noisy = noisy[shown_steps]
        names = ["noisy state,\ndecoded", *names]
    figure, axes = _grid(len(names), len(shown), rainy, left=0.42, right=0.58, head=0.45)
    size = style.NORMAL if len(shown) < 7 else style.SMALL
    photo_row, level_row, change_row = axes[-3:]
    low, high = np.percentile(levels[0], [1, 99.9])
    change_style = style.centred(np.stack(changes[1:]), 98)
    last = len(shown) - 1
    for i, (photo, level, change) in enumerate(zip(shown, levels, changes, strict=True)):
        top = photo_row[0] if i == 0 else axes[0, i]
        top.set_title("rainy" if i == 0 else labels[i - 1], fontsize=size)
        style.show(photo_row[i], photo)
        bar = "dB" if i == last else None
        style.show_spectrum(
            level_row[i], level, colour_label=bar, cmap="magma", vmin=low, vmax=high
        )
        if i > 0:
            style.show_spectrum(
                change_row[i], change, colour_label=bar, ticks=i == 1, **change_style
            )
        if noisy is not None and i > 0:
            style.show(axes[0, i], noisy[i - 1])
    for line, name in zip(axes, names, strict=True):
        line[0].set_ylabel(name, fontsize=size)
    for ax in (change_row[0], *([axes[0, 0]] if noisy is not None else [])):
        _leave_empty(ax)
    return figure


def draws_and_spread(
    rainy: Photo,
    draws: Float[np.ndarray, "n h w 3"],
    clean: Photo | None = None,
    *,
    shown: int | None = None,
) -> Figure:
    """Draws, their mean and their spread, in pixels and by frequency; the real error where known.

    Spread and error share one scale, in 8-bit grey levels (root mean square over R, G and B).
    `shown` draws are drawn; as many as fill the rows where it is left out.
    """
    mean = draws.mean(axis=0)
    variance = drawing.variance(draws).mean(axis=-1)
    photos = [("rainy", style.unit(rainy)), (f"mean of {len(draws)} draws", mean)]
    maps = [(f"spread of {len(draws)} draws", 255 * np.sqrt(variance))]
    if clean is not None:
        photos.append(("clean", style.unit(clean)))
        error = np.square(mean - style.unit(clean)).mean(axis=-1)
        maps.append(("error of their mean", 255 * np.sqrt(error)))
    count = (2 if clean is None else 3) if shown is None else shown
    photos += [(f"draw {i + 1}", draw) for i, draw in enumerate(draws[:count])]
    power = sum(spectral_power(draw - mean) for draw in draws) / (len(draws) - 1)
    by_frequency = 10 * np.log10(power + 1e-12)
    rows = -(-(len(photos) + len(maps) + 1) // 3)
    figure, grid = _grid(rows, 3, rainy, left=0.08, beside=0.66, above=0.3)
    axes = list(grid.flat)
    for ax, (title, photo) in zip(axes, photos, strict=False):
        style.show(ax, photo)
        ax.set_title(title, fontsize=style.NORMAL + 1)
    limit = max(float(np.percentile(np.stack([values for _, values in maps]), 99)), 1.0)
    for ax, (title, values) in zip(axes[len(photos) :], maps, strict=False):
        image = style.show(ax, values, cmap="cividis", vmin=0, vmax=limit)
        ax.set_title(title, fontsize=style.NORMAL + 1)
        style.colour_bar(image, ax, "grey levels")
    place = axes[len(photos) + len(maps)]
    low, high = np.percentile(by_frequency, [1, 99.9])
    amounts: dict[str, Any] = {"cmap": "magma", "vmin": low, "vmax": max(high, low + 1)}
    style.show_spectrum(place, by_frequency, colour_label="dB", ticks=True, **amounts)
    place.set_title("spread by frequency", fontsize=style.NORMAL + 1)
    for ax in axes[len(photos) + len(maps) + 1 :]:
        _leave_empty(ax)
    return figure


WIDTH = 9.6  # inches of every figure of photos: a README shows some 850 pixels of 1440
WIDEST = 2.7  # inches of one photo, where there are few


def _grid(
    rows: int,
    columns: int,
    photo: np.ndarray,
    *,
    left: float = 0.3,
    beside: float = 0.08,
    right: float = 0.0,
    head: float = 0.3,
    above: float = 0.08,
) -> tuple[Figure, Any]:
    """Axes in the shape of a photo, at fixed places: every label has its room, in inches.

    Args:
      rows: of the grid.
      columns: of the grid.
      photo: whose shape the axes have.
      left: for the names of the rows.
      beside: right of every column, for its colour bars.
      right: right of the last column, besides.
      head: above the first row, for its titles.
      above: above each other row.
    """
    aspect = photo.shape[0] / photo.shape[1]
    wide = min((WIDTH - left - right) / columns - beside, WIDEST)
    high, foot = wide * aspect, 0.45
    width = left + columns * (wide + beside) + right
    height = head + rows * high + (rows - 1) * above + foot
    figure = style.figure(width, height)
    figure.set_layout_engine("none")
    axes = np.empty((rows, columns), object)
    for row, column in np.ndindex(rows, columns):
        x = left + column * (wide + beside)
        y = foot + (rows - 1 - row) * (high + above)
        place = (x / width, y / height, wide / width, high / height)
        axes[row, column] = figure.add_axes(place)
    return figure, axes


def _leave_empty(ax: Any) -> None:
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.patch.set_visible(False)
