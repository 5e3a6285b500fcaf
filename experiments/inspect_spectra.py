"""Draws a pair of photos, their spectra, and the difference that the model learns.

python -m experiments.inspect_spectra --manifest=embedded --index=0 --output=spectra.png
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from experiments import _cli
from fftdiff_jax.errors import UserError

_MANIFEST = flags.DEFINE_string("manifest", "embedded", "the CSV of pairs, or 'embedded'")
_SPLIT = flags.DEFINE_string("split", None, "count rows of this split only")
_INDEX = flags.DEFINE_integer("index", 0, "which pair, counted from 0", lower_bound=0)
_OUTPUT = flags.DEFINE_string("output", None, "the figure's file: .png, .pdf or .svg")


def main() -> int:
    """Draws the pair that the flags name."""
    output = Path(_cli.require("output", _OUTPUT.value)).expanduser()
    manifest = _cli.read_pairs(_MANIFEST.value, _SPLIT.value)
    rows = [row for row in manifest if row.rainy]
    if _INDEX.value >= len(rows):
        raise UserError(f"--index={_INDEX.value}: {manifest.path} has {len(rows)} pairs, from 0")
    from fftdiff_jax import plots
    from fftdiff_jax.data.pipeline import load_pair

    pair = load_pair(manifest, rows[_INDEX.value])
    plots.save(output, plots.pair_with_spectra(pair.clean, pair.rainy))
    print(output)
    return 0


if __name__ == "__main__":
    _cli.run(main)
