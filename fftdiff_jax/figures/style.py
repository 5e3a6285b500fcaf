"""What all figures use: axes, spectra as pictures, colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Complex, Float, Shaped, UInt8
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator

from fftdiff_jax.metrics.power import spectral_power

RAINY, RESTORED, SPREAD, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
LINES = (RAINY, RESTORED, SPREAD, "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vP*"
SMALL, NORMAL = 8, 9  # font sizes, in points

Photo = Shaped[np.ndarray, "h w 3"]


# White, or light, is "no change" in every map of a difference.
CYCLIC: dict[str, Any] = {"cmap": "twilight_shifted", "vmin": -np.pi, "vmax": np.pi}


def figure(width: float, height: float, *, between: float = 0.0) -> Figure:
    """An empty figure of so many inches whose parts make room for each other."""
    room = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=between, hspace=0)
    return Figure(figsize=(width, height), layout=room, facecolor="white")


def unit(photo: Photo) -> Float[np.ndarray, "h w 3"]:
    """The photo in [0, 1]."""
    return photo / np.float32(255) if photo.dtype == np.uint8 else photo


def spectrum(photo: Float[np.ndarray, "h w c"]) -> Complex[np.ndarray, "h w c"]:
    """Orthonormal and centred; NumPy's, since a figure's size is not worth compiling for."""
    return np.fft.fftshift(np.fft.fft2(photo, axes=(0, 1), norm="ortho"), axes=(0, 1))


def level(photo: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w"]:
    """The magnitude in dB, RMS over channels; what rounding to 8 bits adds is the floor."""
    return 10 * np.log10(spectral_power(photo) + 1e-6)


def centred(values: np.ndarray, percentile: float) -> dict[str, Any]:
    """A diverging map with white at 0 that reaches as far as most of `values`."""
    limit = max(float(np.percentile(np.abs(values), percentile)), 1e-3)
    return {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}


def coloured(
    values: Float[np.ndarray, "h w"], name: str, low: float, high: float
) -> UInt8[np.ndarray, "h w 3"]:
    """A map's values as the colours of a Matplotlib colour map, one pixel each."""
    scaled = np.clip((values - low) / (high - low), 0, 1)
    return colormaps[name](scaled, bytes=True)[..., :3]


def show(ax: Axes, photo: np.ndarray, **style: Any) -> Any:
    """A photo or a map without axes; floats of a photo are clipped to [0, 1]."""
    image = ax.imshow(np.clip(unit(photo), 0, 1) if photo.ndim == 3 else photo, **style)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return image


def show_spectrum(
    ax: Axes,
    values: Float[np.ndarray, "h w"],
    *,
    colour_label: str | None = None,
    labelled: bool = False,
    ticks: bool = False,
    **style: Any,
) -> None:
    """A centred spectrum in cycles a pixel: square and labelled, or in the photo's shape.

    In the photo's shape it has no axes, or with `ticks` those of its lower border.
    """
    height, width = values.shape
    image = ax.imshow(
        values,
        extent=(-0.5, 0.5, -0.5, 0.5),
        aspect="equal" if labelled else height / width,
        # A mean of two angles is no angle where they lie on both sides of pi.
        interpolation="nearest" if style.get("cmap") == CYCLIC["cmap"] else "antialiased",
        **style,
    )
    if labelled:
        finish(ax, "across, cycles a pixel", "up, cycles a pixel")
        ax.grid(False)
    elif ticks:
        ax.set_xticks([-0.5, 0, 0.5], labels=["\u2212\u00bd", "0", "\u00bd"], fontsize=SMALL)
        ax.set_yticks([])
        ax.set_xlabel("cycles a pixel", fontsize=SMALL, labelpad=1)
    else:
        ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    if colour_label is not None:
        bar = colour_bar(image, ax, colour_label)
        if style.get("cmap") == CYCLIC["cmap"]:
            bar.set_ticks([-np.pi, 0, np.pi], labels=["\u2212\u03c0", "0", "\u03c0"])


def colour_bar(image: Any, ax: Axes, label: str) -> Any:
    """A colour bar beside `ax`, as tall as what is seen there."""
    place = ax.inset_axes((1.025, 0, 0.04, 1))
    bar = ax.figure.colorbar(image, cax=place)
    bar.set_label(label, fontsize=SMALL, labelpad=2)
    bar.ax.tick_params(labelsize=SMALL - 1)
    bar.outline.set_visible(False)
    return bar


def finish(ax: Axes, across: str, up: str) -> None:
    """Labels, a light grid and no box."""
    ax.set_xlabel(across, fontsize=NORMAL)
    ax.set_ylabel(up, fontsize=NORMAL)
    ax.tick_params(which="both", labelsize=SMALL)
    ax.grid(color="#dddddd", lw=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def logarithmic(*axes: Any) -> None:
    """Plain numbers at 1, 2 and 5 of each decade: few decades are seen here."""
    for axis in axes:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
