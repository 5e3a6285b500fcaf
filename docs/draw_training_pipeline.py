"""Draws docs/training_pipeline.png: the training and the sampling path on one sheet.

    python docs/draw_training_pipeline.py [--config=quickstart] [--checkpoint=DIR]

Every shape on the sheet is asked from the code (`jax.eval_shape` runs a function on shapes alone),
and is kept in the PNG's own text too, so that a test can tell whether the sheet is up to date.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from fftdiff_jax.commands.config_flags import load_config
from fftdiff_jax.commands.shared import open_restorer, prepare_jax, read_pairs
from fftdiff_jax.config import Config
from fftdiff_jax.data.pairs import load_pair
from fftdiff_jax.evaluation import inspection
from fftdiff_jax.figures import style
from fftdiff_jax.files import replacing
from fftdiff_jax.method import spectra
from fftdiff_jax.method.method import make_method
from fftdiff_jax.method.noises import LATENT_NUMBERS, Latent
from fftdiff_jax.method.unet import count_parameters
from fftdiff_jax.pixels import centre_crop
from fftdiff_jax.restore import tiling

KEYWORD = "Shapes"  # of the PNG's text block
PAIR = 5  # row of the embedded validation photos: a cup of coffee in a shower
TRAINING, DENOISER, SAMPLING = "#e8f1f8", "#f7efe4", "#e6f3ee"
MONO = {"family": "monospace", "fontsize": 7.2, "color": "#444444"}


def shapes(config: Config) -> dict[str, str]:
    """The shapes of everything on the sheet, as the code gives them."""
    batch, side = config.training.batch_size, config.data.crop_size
    photo = jax.ShapeDtypeStruct((batch, side, side, 3), jnp.float32)
    method = make_method(config)
    denoiser = method.denoiser
    spectrum = jax.eval_shape(spectra.to_spectrum, photo)
    state = jax.eval_shape(method.representation.encode, photo, photo)
    times = jax.ShapeDtypeStruct((batch,), jnp.float32)
    numbers = jax.ShapeDtypeStruct((batch, LATENT_NUMBERS), jnp.float32)
    arguments: tuple[Any, ...] = (state, photo, times)
    if method.first is not None:
        arguments += (photo, Latent(numbers, photo))
    params = method.abstract_params()
    variables = {"params": params["denoiser"]}

    def apply(variables: Any, *inputs: Any) -> Any:
        return denoiser.apply(variables, *inputs, capture_intermediates=True, mutable=True)

    prediction, captured = jax.eval_shape(apply, variables, *arguments)
    inner = flatten_dict(captured["intermediates"], sep="/")
    found = {
        "crops": photo.shape,
        "spectra": spectrum.shape,
        "state": state.shape,
        "entry": (*photo.shape[:3], variables["params"]["unet"]["entry"]["kernel"].shape[2]),
        "estimate": prediction.photo.shape,
        "latent": numbers.shape,
        "clean state": prediction.state.shape,
        "unet": inner["unet/__call__"][0].shape,
    }
    # What enters the first convolution is folded; seen before, it has fold^2 times less channels.
    fold = config.model.fold
    found["entry"] = (*photo.shape[:3], found["entry"][3] // fold**2)
    for i, count in enumerate(config.model.blocks):
        found[f"resolution {i}"] = inner[f"unet/down_{i}_{count - 1}/__call__"][0].shape
    text = {name: "\u00d7".join(map(str, shape)) for name, shape in found.items()}
    counts = [f"{name} {count_parameters(tree):,}" for name, tree in params.items()]
    return {**text, "parameters": ", ".join(counts)}


def draw(config: Config, restored: np.ndarray) -> Figure:
    """The sheet; `restored` is the restored middle of the rainy photo."""
    sizes = shapes(config)
    manifest = read_pairs("embedded", "val")
    pair = load_pair(manifest, manifest.rows[PAIR])
    clean, rainy = (centre_crop(photo, inspection.SIDE) for photo in (pair.clean, pair.rainy))
    # The photos are larger than the crops, so that they can be seen; the numbers are the crops'.
    noised = inspection.noise_pair(config, clean, rainy, (0.0, 0.5))
    figure = Figure(figsize=(9.6, 8.5), facecolor="white")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 9.6), ylim=(0, 8.5), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    _training(ax, sizes, clean, rainy, noised, _trained(config))
    _denoiser(ax, config, sizes, noised.photos[1])
    _sampling(ax, config, rainy, restored)
    return figure


def _training(
    ax: Axes, sizes: dict[str, str], clean: Any, rainy: Any, noised: Any, note: str
) -> None:
    _band(ax, 5.72, 2.68, TRAINING, "Training", note)
    level = style.level(style.unit(rainy))
    _picture(ax, 0.85, 6.93, clean, "clean x, rainy y", 0.9)
    _picture(ax, 0.85, 5.99, rainy, sizes["crops"], 0.9, mono=True)
    _picture(
        ax, 2.75, 6.28, level, "spectrum Y (X alike)", 1.2, cmap="magma", below=sizes["spectra"]
    )
    for x, i, title in ((4.9, 0, "state z$_0$"), (7.05, 1, "noisy state z$_t$")):
        shown = noised.states[i][..., :3].mean(axis=-1)
        _picture(ax, x, 6.28, shown, title, 1.2, below=sizes["state"], cmap="RdBu_r", limit=1.6)
    _arrow(ax, (1.8, 6.9), (2.65, 6.9), "FFT", "spectra.py")
    _arrow(ax, (4.05, 6.9), (4.8, 6.9), "encode", "representations.py")
    _arrow(ax, (6.2, 6.9), (6.95, 6.9), "diffuse", "diffusion.py")
    text = "$\\log\\,|X|/|Y|$ and $\\arg X - \\arg Y$\nover the strength of rain"
    ax.text(5.5, 5.82, text, ha="center", va="bottom", fontsize=7)
    ax.text(7.65, 5.86, "$z_t=\\alpha_t z_0+\\sigma_t\\varepsilon$", ha="center", fontsize=8)
    _arrow(ax, (8.3, 6.9), (8.75, 6.9))
    ax.text(8.8, 6.9, "to the\ndenoiser", fontsize=8, va="center")


def _denoiser(ax: Axes, config: Config, sizes: dict[str, str], decoded: Any) -> None:
    note = f"{config.model.prediction.replace('_', '-')}; parameters: {sizes['parameters']}"
    _band(ax, 2.82, 2.8, DENOISER, "Denoiser", note)
    samples = config.model.prediction == "image_consistent"
    given = "z$_t$\nt, y" + ("\ne, n" if samples else "")
    ax.text(0.5, 4.35, given, fontsize=9, ha="center", va="center")
    names = "y rainy photo"
    if samples:
        names += (
            f"; e first estimate, of a network like this one, from y alone; n latent: "
            f"{sizes['latent']} and white pixels; b guess"
        )
    ax.text(0.28, 2.92, names, fontsize=7)
    _arrow(ax, (0.68, 4.35), (1.35, 4.35), "decode")
    _picture(ax, 1.45, 3.75, decoded, "what it decodes to", 1.15)
    if samples:
        gain = "b = e + gain \u00d7 (what it shows beyond e)"
        ax.text(2.02, 3.32, gain, fontsize=7, ha="center")
    seen = "b, y, e, n" if samples else "z$_t$, Y"
    ax.text(2.02, 3.14, f"{seen}:  {sizes['entry']}", ha="center", **MONO)
    _arrow(ax, (2.7, 4.35), (3.3, 4.35))
    count = len(config.model.widths)
    for i in range(count):
        height = 1.5 / 1.5**i
        for x in (3.4 + 0.42 * i, 3.4 + 0.42 * (2 * count - 2 - i)):
            _block(ax, x, 4.35 - height / 2, 0.3, height, f"{config.model.widths[i]}")
    middle = 3.4 + 0.42 * (count - 1) + 0.15
    steps = "  \u2192  ".join(sizes[f"resolution {i}"].split("\u00d7", 1)[1] for i in range(count))
    ax.text(middle, 5.16, f"UNet, {config.model.fold}\u00d7{config.model.fold} pixels folded",
            fontsize=8, ha="center")  # fmt: skip
    ax.text(middle, 3.36, steps, ha="center", **MONO)
    ax.text(middle, 3.14, f"out {sizes['unet']}", ha="center", **MONO)
    end = 3.4 + 0.42 * (2 * count - 1)
    _arrow(ax, (end, 4.35), (end + 0.55, 4.35), "+ b")
    _block(ax, end + 0.65, 3.95, 1.0, 0.8, "clean photo", "white")
    ax.text(end + 1.15, 3.76, sizes["estimate"], ha="center", **MONO)
    _arrow(ax, (end + 1.7, 4.35), (end + 2.3, 4.35), "encode")
    _block(ax, end + 2.38, 3.95, 1.0, 0.8, "clean state", "white")
    ax.text(end + 2.88, 3.76, sizes["clean state"], ha="center", **MONO)
    terms = [f"{_number(config.diffusion.spectrum_weight)} L1 of spectra",
             f"{_number(config.diffusion.perceptual_weight)} LPIPS"]  # fmt: skip
    weights = (config.diffusion.spectrum_weight, config.diffusion.perceptual_weight)
    used = [term for term, weight in zip(terms, weights, strict=True) if weight]
    loss = "e: " + " + ".join(["L1 of photos", *used])
    ax.text(end + 0.55, 5.3, "training:", fontsize=8, style="italic", color=style.RAINY)
    if config.diffusion.draw_share > 0:
        loss += ";\nsamples, two of each state: energy score"
    ax.text(end + 0.55, 5.22, loss, fontsize=7.5, color=style.RAINY, va="top")
    ax.annotate("", (end + 1.15, 4.93), (end + 1.15, 4.77), arrowprops=_style(style.RAINY))
    goes = "sampling: back to the sampler; the last step's photo is the draw"
    ax.text(end - 0.2, 3.14, goes, fontsize=7, va="center", color=style.SPREAD)


def _sampling(ax: Axes, config: Config, rainy: Any, restored: Any) -> None:
    _band(ax, 0.1, 2.62, SAMPLING, "Sampling", "one draw of a photo of any size")
    tile = f"{tiling.SIDES[-1]}\u00d7{tiling.SIDES[-1]}"
    _picture(ax, 0.5, 0.72, rainy, "rainy photo", 1.2, below="height\u00d7width\u00d73")
    for i in range(2):
        for j in range(2):
            _block(ax, 2.55 + 0.55 * i, 0.78 + 0.55 * j, 0.6, 0.6, "", "white", 0.6)
    ax.text(3.12, 2.02, "tiles", fontsize=9, ha="center")
    ax.text(3.12, 0.54, f"{tile}\u00d73 each", ha="center", **MONO)
    _arrow(ax, (1.8, 1.35), (2.45, 1.35), "cut")
    noise = np.random.default_rng(0).standard_normal((128, 128))
    _picture(
        ax, 4.35, 0.72, noise, "noise z$_1$", 1.2, cmap="RdBu_r", limit=3, below=f"{tile}\u00d76"
    )
    _arrow(ax, (3.8, 1.35), (4.25, 1.35))
    _block(
        ax,
        6.05,
        0.85,
        1.2,
        1.0,
        f"{config.sampling.sampler.upper()}\nstep t \u2192 t\u2032",
        "white",
    )
    _arrow(ax, (5.62, 1.35), (5.98, 1.35))
    ax.text(6.65, 0.56, _steps(config), fontsize=7.5, ha="center")
    for x, ends in ((6.35, (1.9, 2.78)), (6.95, (2.78, 1.9))):
        ax.annotate("", (x, ends[1]), (x, ends[0]), arrowprops=_style(style.SPREAD))
    ax.text(6.27, 2.32, "z$_t$", fontsize=8, ha="right")
    ax.text(7.03, 2.32, "clean state", fontsize=8)
    _arrow(ax, (7.3, 1.35), (7.95, 1.35), "blend")
    _picture(ax, 8.05, 0.72, restored, "restored", 1.2, below="height\u00d7width\u00d73")
    several = "tiles are blended after every step; several draws: their spread"
    ax.text(9.3, 0.25, several, fontsize=8, ha="right")


def _trained(config: Config) -> str:
    if config.model.prediction == "direct":
        return "one step"
    share = f"{config.diffusion.draw_share:.0%}"
    return f"every crop for the first estimate; {share} of them also as drawn here, half at t = 1"


def _steps(config: Config) -> str:
    if config.sampling.steps == 1:
        return "1 step or more"
    return f"{config.sampling.steps} steps"


def _number(value: float) -> str:
    return f"{value:g} \u00d7"


def _band(ax: Axes, bottom: float, height: float, colour: str, title: str, note: str) -> None:
    box = FancyBboxPatch(
        (0.15, bottom), 9.3, height, boxstyle="round,pad=0,rounding_size=0.08", fc=colour, ec="none"
    )
    ax.add_patch(box)
    ax.text(0.28, bottom + height - 0.25, title, fontsize=12, weight="bold")
    ax.text(0.3 + 0.115 * len(title) + 0.12, bottom + height - 0.25, note, fontsize=8.5)


def _picture(
    ax: Axes,
    x: float,
    y: float,
    picture: Any,
    title: str,
    side: float,
    *,
    below: str = "",
    mono: bool = False,
    limit: float | None = None,
    **options: Any,
) -> None:
    """A square picture with its lower left corner at (x, y), in inches."""
    if picture.ndim == 3:
        picture = np.clip(style.unit(picture), 0, 1)
    if limit is not None:
        options |= {"vmin": -limit, "vmax": limit}
    ax.imshow(picture, extent=(x, x + side, y, y + side), aspect="auto", zorder=2, **options)
    ax.set(xlim=(0, 9.6), ylim=(0, 8.5))
    if mono:
        below, title = title, ""
    ax.text(x + side / 2, y + side + 0.07, title, fontsize=9, ha="center")
    ax.text(x + side / 2, y - 0.17, below, ha="center", **MONO)


def _block(
    ax: Axes, x: float, y: float, width: float, height: float, text: str,
    colour: str = "#e6c48f", line: float = 0.8,
) -> None:  # fmt: skip
    box = FancyBboxPatch(
        (x, y), width, height, boxstyle="round,pad=0,rounding_size=0.04",
        fc=colour, ec="#555555", lw=line, zorder=2,
    )  # fmt: skip
    ax.add_patch(box)
    size = 8 if len(text) > 3 else 7
    ax.text(x + width / 2, y + height / 2, text, fontsize=size, ha="center", va="center", zorder=3)


def _style(colour: str = "#333333") -> dict[str, Any]:
    return {"arrowstyle": "-|>", "color": colour, "lw": 1.2, "shrinkA": 0, "shrinkB": 0}


def _arrow(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], over: str = "", under: str = ""
) -> None:
    ax.annotate("", end, start, arrowprops=_style())
    middle = (start[0] + end[0]) / 2
    ax.text(middle, start[1] + 0.08, over, fontsize=8, ha="center")
    ax.text(middle, start[1] - 0.2, under, ha="center", **MONO)


def main() -> None:
    """Writes the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="quickstart")
    parser.add_argument("--checkpoint", help="restores the photo; left out: the weights in the box")
    default = Path(__file__).with_name("training_pipeline.png")
    parser.add_argument("--output", type=Path, default=default)
    arguments = parser.parse_args()
    prepare_jax("")
    config = load_config(arguments.config, [])
    manifest = read_pairs("embedded", "val")
    pair = load_pair(manifest, manifest.rows[PAIR])
    restored = open_restorer(arguments.checkpoint)(centre_crop(pair.rainy, inspection.SIDE))
    figure = draw(config, restored)
    text = json.dumps(shapes(config))
    with replacing(arguments.output) as temporary:
        figure.savefig(temporary, dpi=150, metadata={KEYWORD: text})
    print(arguments.output)


if __name__ == "__main__":
    main()
