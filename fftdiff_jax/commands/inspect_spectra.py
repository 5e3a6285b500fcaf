"""Draws what the model works on: a pair, its spectra, the noise, a draw on its way, rain itself.

    fftdiff-jax inspect --manifest=embedded --index=0 --output=pair.png
    fftdiff-jax inspect --figure=all --checkpoint=runs/mine --output=figures

Figures:

  pair     the photos, their magnitudes and phases, and the difference that is learnt
  noising  the pair's state under rising noise, and the photos it decodes to
  rain     where rain lives: the mean over the manifest, by frequency and direction
  path     one draw at every step, in pixels and in frequencies (uses --checkpoint)
  draws    several draws, their mean, their spread and the real error (uses --checkpoint)
  error    the error by frequency before and after (uses --checkpoint)
  all      every one of them, into the folder --output
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from fftdiff_jax.commands import shared
from fftdiff_jax.errors import UserError
from fftdiff_jax.pixels import centre_crop

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fftdiff_jax.data.manifest import Manifest
    from fftdiff_jax.restore.restorer import Restorer

_WITH_MODEL = ("path", "draws", "error")
_FIGURES = ("pair", "noising", "rain", *_WITH_MODEL)
_FORMATS = (".png", ".pdf", ".svg", ".jpg")
_TIMES = (0.0, 0.25, 0.5, 0.75, 1.0)

_MANIFEST = flags.DEFINE_string("manifest", "embedded", "the CSV of pairs, or 'embedded'")
_SPLIT = flags.DEFINE_string("split", None, "count rows of this split only")
_INDEX = flags.DEFINE_integer("index", 0, "which pair, counted from 0", lower_bound=0)
_OUTPUT = shared.define_output("the figure's file (.png, .pdf, .svg), or a folder")
_FIGURE = flags.DEFINE_enum("figure", "pair", [*_FIGURES, "all"], "what to draw")
_CHECKPOINT = shared.define_checkpoint()
_STEPS = flags.DEFINE_integer("steps", 4, "network evaluations a draw", lower_bound=1)
_DRAWS = flags.DEFINE_integer("draws", 8, "draws whose spread is shown", lower_bound=2)
_SEED = flags.DEFINE_integer("seed", 0, "of all noise", lower_bound=0)
_LIMIT = flags.DEFINE_integer("limit", 200, "rain: the first so many pairs; 0: all", lower_bound=0)
_COMPILATION_CACHE = shared.define_compilation_cache()


def main() -> int:
    """Draws the figures that the flags name."""
    wanted = _FIGURES if _FIGURE.value == "all" else (_FIGURE.value,)
    output = shared.require_writable("output", shared.require("output", _OUTPUT.value))
    into_folder = output.is_dir() or not output.suffix
    if not into_folder and len(wanted) > 1:
        raise UserError(f"--output={_OUTPUT.value}: --figure=all makes several; give a folder")
    if not into_folder and output.suffix.lower() not in _FORMATS:
        known = ", ".join(_FORMATS)
        raise UserError(f"--output={_OUTPUT.value}: the name must end in {known}, or be a folder")
    opener = shared.restorer_opener(_CHECKPOINT.value)
    manifest = shared.read_pairs(_MANIFEST.value, _SPLIT.value)
    rows = [row for row in manifest if row.rainy]
    if _INDEX.value >= len(rows):
        raise UserError(f"--index={_INDEX.value}: {manifest.path} has {len(rows)} pairs, from 0")
    from fftdiff_jax.data.pairs import load_pair

    pair = load_pair(manifest, rows[_INDEX.value])
    print(f"{Path(pair.rainy_path).name}: {_facts(pair.clean, pair.rainy)}", flush=True)
    if wanted != ("pair",):
        shared.prepare_jax(_COMPILATION_CACHE.value)
    restorer = None
    if set(wanted) & set(_WITH_MODEL):
        restorer = opener()
    from fftdiff_jax import figures

    draw: dict[str, Callable[[], Figure]] = {
        "pair": lambda: figures.pair_with_spectra(pair.clean, pair.rainy),
        "noising": lambda: _noising(pair, restorer),
        "rain": lambda: _rain(manifest),
        "path": lambda: _path(pair, _opened(restorer)),
        "draws": lambda: _draws(pair, _opened(restorer)),
        "error": lambda: _error(pair, _opened(restorer)),
    }
    for name in wanted:
        path = output / f"{name}.png" if into_folder else output
        figures.save(path, draw[name]())
        print(path, flush=True)
    return 0


def _opened(restorer: Restorer | None) -> Restorer:
    assert restorer is not None  # it was opened for the figures that use one
    return restorer


def _facts(clean: Any, rainy: Any) -> str:
    """The pair in one line, before anything slow."""
    import numpy as np

    difference = rainy.astype(np.float32) - clean
    error = float(np.square(difference).mean())
    psnr = f"{10 * np.log10(255**2 / error):.2f} dB" if error else "equal photos"
    height, width = clean.shape[:2]
    adds = f"rain adds {difference.mean():+.1f} grey levels"
    return f"{width} x {height} pixels, PSNR on RGB {psnr}, {adds}"


def _noising(pair: Any, restorer: Restorer | None) -> Figure:
    from fftdiff_jax import figures
    from fftdiff_jax.config import Config
    from fftdiff_jax.evaluation import inspection

    config = restorer.config if restorer else Config()
    clean, rainy = (centre_crop(photo, inspection.SIDE) for photo in (pair.clean, pair.rainy))
    noised = inspection.noise_pair(config, clean, rainy, _TIMES, seed=_SEED.value)
    return figures.noising(noised.photos, noised.states, [f"t = {t:g}" for t in _TIMES])


def _rain(manifest: Manifest) -> Figure:
    from tqdm import tqdm

    from fftdiff_jax import figures
    from fftdiff_jax.data.pairs import load_pair
    from fftdiff_jax.evaluation import inspection

    rows = [row for row in manifest if row.rainy]
    rows = rows[: _LIMIT.value or None]
    pairs = (load_pair(manifest, row) for row in tqdm(rows, unit="pair", desc="rain"))
    log_ratio, count = inspection.rain_by_frequency((pair.clean, pair.rainy) for pair in pairs)
    return figures.where_rain_lives(log_ratio, count)


def _path(pair: Any, restorer: Restorer) -> Figure:
    from fftdiff_jax import figures
    from fftdiff_jax.evaluation import inspection

    rainy = centre_crop(pair.rainy, inspection.SIDE)
    path = inspection.draw_path(restorer, rainy, steps=_STEPS.value, seed=_SEED.value)
    labels = [f"step {i + 1}\nt = {t:.2g}" for i, t in enumerate(path.times)]
    return figures.sampling_path(rainy, path.estimates, labels, path.noisy)


def _draws(pair: Any, restorer: Restorer) -> Figure:
    from fftdiff_jax import figures

    numbers = {"draws": _DRAWS.value, "steps": _STEPS.value, "seed": _SEED.value}
    draws = restorer.sample_float(pair.rainy, **numbers)
    return figures.draws_and_spread(pair.rainy, draws, pair.clean)


def _error(pair: Any, restorer: Restorer) -> Figure:
    from fftdiff_jax import figures
    from fftdiff_jax.evaluation import inspection

    numbers = {"draws": _DRAWS.value, "steps": _STEPS.value, "seed": _SEED.value}
    draws = restorer.sample_float(pair.rainy, **numbers)
    return figures.error_by_frequency(*inspection.errors(pair.clean, pair.rainy, draws))
