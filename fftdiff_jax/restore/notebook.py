"""How restorers and what they restore show themselves in a notebook.

    look(restorer, photo)     the photo before and after, the draws and their spread
    restorer_html(restorer)   what a restorer is made of, and the rain that it knows: what a
                              notebook shows of a `Restorer`

Matplotlib is imported when something is shown, not before.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import io
from typing import TYPE_CHECKING, Protocol

import numpy as np
from jaxtyping import Float, PyTree, UInt8

from fftdiff_jax.config import Config
from fftdiff_jax.method import rain_spectrum
from fftdiff_jax.method.unet import count_parameters
from fftdiff_jax.metrics import draws as drawing
from fftdiff_jax.pixels import to_uint8, to_unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Sampling(Protocol):
    """What is needed of a `Restorer`, which itself knows how it is shown."""

    params: PyTree
    config: Config

    def sample_float(
        self,
        photo: UInt8[np.ndarray, "h w 3"],
        *,
        draws: int | None = None,
        steps: int | None = None,
        seed: int = 0,
    ) -> Float[np.ndarray, "n h w 3"]:
        """Single draws, in [0, 1]."""
        ...


@dataclasses.dataclass(frozen=True)
class Look:
    """A photo and its draws; in a notebook it is a picture.

    Attributes:
      rainy: what was restored.
      draws: the single draws, in [0, 1]; where none were made, the first estimate alone.
      clean: the truth, where it is known.
    """

    rainy: UInt8[np.ndarray, "h w 3"]
    draws: Float[np.ndarray, "n h w 3"]
    clean: UInt8[np.ndarray, "h w 3"] | None = None

    @property
    def restored(self) -> UInt8[np.ndarray, "h w 3"]:
        """The mean of the draws, rounded once."""
        return to_uint8(self.draws.mean(axis=0))

    @property
    def spread(self) -> Float[np.ndarray, "h w"]:
        """The deviation of the draws, root mean square over R, G and B; zeros for one draw."""
        if len(self.draws) < 2:
            return np.zeros(self.rainy.shape[:2], np.float32)
        return drawing.spread(self.draws)

    def figure(self) -> Figure:
        """Before and after for one draw; the draws and their spread for several."""
        from fftdiff_jax import figures

        if len(self.draws) > 1:
            return figures.draws_and_spread(self.rainy, self.draws, self.clean)
        photos, titles = [self.rainy, self.restored], ["rainy", "restored"]
        if self.clean is not None:
            photos, titles = [*photos, self.clean], [*titles, "clean"]
        return figures.before_after([("", photos, [""] * len(photos))], titles)

    def spectrum_pictures(self) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]]:
        """The magnitudes before and after, on one scale in dB, as coloured pictures."""
        from fftdiff_jax.figures import style

        photos = (style.unit(self.rainy), style.unit(self.restored))
        before, after = (style.level(photo) for photo in photos)
        low, high = np.percentile(before, [1, 99.9])
        high = max(high, low + 1)
        return style.coloured(before, "magma", low, high), style.coloured(after, "magma", low, high)

    def spread_picture(self) -> tuple[UInt8[np.ndarray, "h w 3"], float]:
        """The spread as a coloured picture, and how many grey levels its brightest colour means."""
        from fftdiff_jax.figures import style

        levels = 255 * self.spread
        limit = max(float(np.percentile(levels, 99.5)), 0.1)
        return style.coloured(levels, "cividis", 0, limit), limit

    def _repr_png_(self) -> bytes:
        return png(self.figure())

    def __repr__(self) -> str:
        height, width = self.rainy.shape[:2]
        return f"Look({width} x {height} pixels, {len(self.draws)} draws)"


def look(
    restorer: Sampling,
    photo: UInt8[np.ndarray, "h w 3"],
    *,
    draws: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    clean: UInt8[np.ndarray, "h w 3"] | None = None,
) -> Look:
    """Restores a photo and keeps all that can be seen of it.

    Raises:
      UserError: as `Restorer.sample_float`.
    """
    found = restorer.sample_float(photo, draws=draws, steps=steps, seed=seed)
    return Look(to_uint8(to_unit(photo)), found, clean)


def png(figure: Figure, *, dots_per_inch: int = 100) -> bytes:
    """A figure as the bytes of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch)
    return buffer.getvalue()


def restorer_html(restorer: Sampling) -> str:
    """What a restorer is made of, how it draws, and the strength of rain that it was trained on."""
    config = restorer.config
    sampling, model = config.sampling, config.model
    facts = {
        "network": f"{count_parameters(restorer.params):,} parameters, {model.prediction}, "
        f"widths {' '.join(map(str, model.widths))}",
        "state": f"{config.representation.name}, {config.representation.normalisation}",
        "trained on": f"{config.data.manifest}, crops of {config.data.crop_size} pixels",
        "draws": f"{sampling.draws} of {sampling.steps} step{'s' * (sampling.steps > 1)} each, "
        f"{sampling.sampler}"
        if sampling.draws
        else "none: the best photo",
    }
    rows = "".join(
        f"<tr><th style='text-align:left'>{name}</th><td style='text-align:left'>"
        f"{html.escape(text)}</td></tr>"
        for name, text in facts.items()
    )
    picture = ""
    if config.representation.normalisation != "constant":
        table = config.representation.rain_spectrum or rain_spectrum.DEFAULT_RAIN_SPECTRUM
        encoded = base64.b64encode(png(_rain_strength(table))).decode()
        picture = f"<img alt='strength of rain by frequency' src='data:image/png;base64,{encoded}'>"
    return f"<div><b>Restorer</b><table>{rows}</table>{picture}</div>"


def _rain_strength(table: tuple[float, ...]) -> Figure:
    """rho(f), the strength of rain that the state is measured in."""
    from fftdiff_jax.figures import style

    figure = style.figure(4.4, 2.2)
    ax = figure.subplots()
    ax.loglog(
        rain_spectrum.KNOT_FREQUENCIES, table[1:], color=style.RAINY, marker="o", ms=4, lw=1.6
    )
    ticks = rain_spectrum.KNOT_FREQUENCIES[1::2]
    ax.set_xticks(ticks, labels=[f"1/{round(1 / f)}" for f in ticks])
    style.logarithmic(ax.yaxis)
    ax.minorticks_off()
    style.finish(ax, "radial frequency, cycles a pixel", "strength of rain")
    ax.set_title("what a state of 1 means, by frequency", fontsize=style.NORMAL)
    return figure
