"""Every figure. Each function takes plain arrays and returns a Matplotlib figure.

No pyplot, hence no global state and no display. Colours are told apart by the colour-blind too
(Okabe and Ito's palette for lines, cividis for amounts, a blue-to-red map centred at 0 for
differences, twilight, which is cyclic, for phases).
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from fftdiff_jax.files import replacing


def save(path: str | os.PathLike[str], figure: Figure, *, dots_per_inch: int = 120) -> None:
    """Writes a figure, whole or not at all, in the format of the suffix.

    Raises:
      UserError: the file cannot be written.
    """
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=dots_per_inch)


def before_after(
    rows: Sequence[tuple[str, Sequence[UInt8[np.ndarray, "h w 3"]], Sequence[str]]],
    titles: Sequence[str] = ("rainy", "restored", "clean"),
) -> Figure:
    """A grid of photos: each row has a label, one photo a title, and a caption below each photo."""
    width = 9.6 / len(titles)
    heights = [width * max(p.shape[0] / p.shape[1] for p in photos) for _, photos, _ in rows]
    gap = 0.34  # inches for a caption
    figure = Figure(figsize=(9.6 + 0.4, sum(heights) + gap * len(rows) + 0.3), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)  # type: ignore
    axes = figure.subplots(len(rows), len(titles), squeeze=False, height_ratios=heights)
    for line, (label, photos, captions) in zip(axes, rows, strict=True):
        for ax, photo, caption in zip(line, photos, captions, strict=True):
            ax.imshow(photo)
            ax.set(xticks=[], yticks=[])
            ax.set_xlabel(caption, fontsize=8)
            ax.spines[:].set_visible(False)
        line[0].set_ylabel(label, fontsize=8)
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, fontsize=10)
    return figure
