"""What spectra of a data set look like: by channel and by radial frequency, in one pass.

For every channel and every ring of radial frequency the pass collects the mean and the standard
deviation of the clean and the rainy log-magnitude, of the log-ratio of both, and of the wrapped
phase difference, and the root mean square of |X - Y|, over all frequencies of all pairs.
"""

from __future__ import annotations

import collections
import functools
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64

from fftdiff_jax.data.manifest import Manifest
from fftdiff_jax.data.pairs import Pair, evaluation_pairs
from fftdiff_jax.errors import UserError
from fftdiff_jax.files import replacing, write_text
from fftdiff_jax.method import rain_spectrum, spectra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_QUANTITIES = ("clean_log", "rainy_log", "log_ratio", "phase_difference", "difference")
_CHANNELS = ("red", "green", "blue")


def measure_statistics(
    manifest: Manifest,
    *,
    rings: int = 64,
    progress: Callable[[Iterable, int], Iterable] = lambda items, total: items,
) -> dict[str, Any]:
    """Measures the pairs of a manifest; rows without a rainy photo are left out.

    Returns a dictionary ready for JSON: "frequencies", the middle of each ring in cycles a pixel
    (the first is the constant term alone, the last ends at 0.5); for each quantity its "mean" and
    "deviation", and for difference its "root_mean_square", as lists over (channel, ring); and
    "rain_spectrum", the table that `rain_spectrum.rain_strength` reads. Rings that no photo reaches
    hold None. Magnitudes are of photos in [0, 1].

    Raises:
      UserError: a photo is bad, or there are no pairs.
    """
    rows = [row for row in manifest.rows if row.rainy is not None]
    if not rows:
        raise UserError(f"{manifest.path}: has no pairs to measure, only clean photos")
    pairs = evaluation_pairs(Manifest(manifest.path, tuple(rows), manifest.has_splits))
    sums: dict[str, np.ndarray] = collections.defaultdict(lambda: np.zeros((3, rings + 1)))
    tables, counts = [], np.zeros(rings + 1)
    for pair in progress(pairs, len(rows)):
        _add(pair, rings, sums, counts)
        clean, rainy = (jnp.asarray(photo[None]) / 255 for photo in (pair.clean, pair.rainy))
        tables.append(rain_spectrum.measure_rain_spectrum(clean, rainy))
    middles = (np.arange(rings) + 0.5) * 0.5 / rings
    with np.errstate(invalid="ignore", divide="ignore"):
        moments = {
            name: _moments(sums[name], sums[f"{name}^2"], counts) for name in _QUANTITIES[:-1]
        }
        strength = np.sqrt(sums["difference^2"] / counts)
    return {
        "pairs": len(rows),
        "manifest": manifest.path,
        "channels": list(_CHANNELS),
        "frequencies": [0.0, *middles.tolist()],
        **moments,
        "difference": {"root_mean_square": _plain(strength)},
        "rain_spectrum": np.sqrt(np.mean(np.square(tables), axis=0)).round(6).tolist(),
    }


def write_statistics(
    statistics: dict[str, Any], manifest_path: str | os.PathLike[str]
) -> tuple[Path, Path]:
    """Writes FILE_statistics.json and FILE_statistics.png beside FILE.csv; returns both paths.

    Raises:
      UserError: a file cannot be written.
    """
    path = Path(manifest_path).expanduser().absolute()
    text = path.with_name(path.stem + "_statistics.json")
    picture = text.with_suffix(".png")
    write_text(text, json.dumps(statistics, indent=1) + "\n")
    figure = statistics_figure(statistics)
    with replacing(picture) as temporary:
        figure.savefig(temporary, dpi=120)
    return text, picture


def statistics_figure(statistics: dict[str, Any]) -> Figure:
    """Draws the statistics over radial frequency: magnitudes, their ratio, phases, and rain."""
    from matplotlib.figure import Figure

    frequencies = np.array(statistics["frequencies"][1:])
    figure = Figure(figsize=(10, 7), layout="constrained")
    axes = figure.subplots(2, 2)

    def draw(axis: Any, name: str, style: str, label: str) -> None:
        for channel, colour in enumerate(("tab:red", "tab:green", "tab:blue")):
            mean, deviation = (
                np.array(statistics[name][part][channel][1:], float)
                for part in ("mean", "deviation")
            )
            axis.plot(frequencies, mean, style, color=colour, label=label if channel == 1 else None)
            axis.fill_between(
                frequencies, mean - deviation, mean + deviation, color=colour, alpha=0.08
            )

    draw(axes[0, 0], "clean_log", "-", "clean")
    draw(axes[0, 0], "rainy_log", "--", "rainy")
    axes[0, 0].set_title("log-magnitude")
    axes[0, 0].set_ylabel("mean of log(magnitude + floor)")
    axes[0, 0].legend()
    draw(axes[0, 1], "log_ratio", "-", "")
    axes[0, 1].set_title("log-ratio of magnitudes, clean over rainy")
    axes[0, 1].set_ylabel("natural logarithm")
    draw(axes[1, 0], "phase_difference", "-", "")
    axes[1, 0].set_title("wrapped phase difference, clean minus rainy")
    axes[1, 0].set_ylabel("radians")
    for channel, colour in enumerate(("tab:red", "tab:green", "tab:blue")):
        strength = np.array(statistics["difference"]["root_mean_square"][channel][1:], float)
        axes[1, 1].loglog(frequencies, strength, color=colour, label=_CHANNELS[channel])
    axes[1, 1].set_title("rain: root mean square of |X - Y|")
    axes[1, 1].set_ylabel("of photos in 0..1, orthonormal FFT")
    axes[1, 1].legend()
    for axis in axes.flat:
        axis.set_xlabel("radial frequency (cycles a pixel)")
        axis.grid(alpha=0.3)
    figure.suptitle(
        f"{statistics['pairs']} pairs; bands are one standard deviation; "
        "red, green and blue are the photo's"
    )
    return figure


def _add(pair: Pair, rings: int, sums: dict[str, np.ndarray], counts: np.ndarray) -> None:
    """Adds one pair's sums over rings, and sums of squares, and its numbers of frequencies."""
    height, width = pair.clean.shape[:2]
    frequency = spectra.radial_frequency(height, width)[..., 0]
    ring = np.where(frequency == 0, 0, 1 + np.floor(frequency * 2 * rings).astype(int))
    inside = ring <= rings  # beyond 0.5 only the spectrum's corners are left
    ring = ring[inside]
    counts += np.bincount(ring, minlength=rings + 1)
    for name, values in zip(_QUANTITIES, _quantities()(pair.clean, pair.rainy), strict=True):
        for channel in range(3):
            flat = np.asarray(values[..., channel], np.float64)[inside]
            sums[name][channel] += np.bincount(ring, flat, rings + 1)
            sums[f"{name}^2"][channel] += np.bincount(ring, flat * flat, rings + 1)


@functools.lru_cache(maxsize=1)
def _quantities() -> Callable[..., tuple]:
    def quantities(clean, rainy):
        x, y = (spectra.to_spectrum(photo.astype(jnp.float32) / 255) for photo in (clean, rainy))
        after, before = (spectra.magnitude_and_phase(s)[0] for s in (x, y))
        after_log, before_log = (jnp.log(m + spectra.MAGNITUDE_FLOOR) for m in (after, before))
        turn = spectra.magnitude_and_phase(x * jnp.conj(y))[1]
        return after_log, before_log, after_log - before_log, turn, jnp.abs(x - y)

    return jax.jit(quantities)


def _moments(
    total: Float64[np.ndarray, "3 r"], squares: Float64[np.ndarray, "3 r"], counts: np.ndarray
) -> dict[str, list]:
    mean = total / counts
    std = np.sqrt(np.maximum(squares / counts - mean * mean, 0))
    return {"mean": _plain(mean), "deviation": _plain(std)}


def _plain(array: np.ndarray) -> list[list[float | None]]:
    """Lists for JSON, which knows no NaN."""
    return [[round(v, 6) if np.isfinite(v) else None for v in row] for row in array.tolist()]
