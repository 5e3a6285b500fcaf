"""Every figure. Each function takes plain arrays and returns a Matplotlib figure.

No pyplot, hence no global state and no display. Colours are told apart by the colour-blind too:
Okabe and Ito's palette for lines, cividis and magma for amounts, a blue-white-red map centred at 0
for differences, twilight, which is cyclic, for phases. Photos are uint8 or floats in [0, 1].
"""

from __future__ import annotations

import os

from matplotlib.figure import Figure

from fftdiff_jax.figures.curves import (
    coverage,
    error_by_frequency,
    gains,
    perception_distortion,
    spread_against_error,
    where_rain_lives,
)
from fftdiff_jax.figures.photos import (
    before_after,
    draws_and_spread,
    noising,
    pair_with_spectra,
    sampling_path,
)
from fftdiff_jax.files import replacing

__all__ = [
    "before_after",
    "coverage",
    "draws_and_spread",
    "error_by_frequency",
    "gains",
    "noising",
    "pair_with_spectra",
    "perception_distortion",
    "sampling_path",
    "save",
    "spread_against_error",
    "where_rain_lives",
]


def save(path: str | os.PathLike[str], figure: Figure, *, dots_per_inch: int = 150) -> None:
    """Writes a figure, whole or not at all, in the format of the suffix.

    Raises:
      UserError: the file cannot be written.
    """
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=dots_per_inch)
