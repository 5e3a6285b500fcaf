r"""The method beside what it has to beat: same network, data order, batches and steps.

    python -m experiments.compare --sweep=experiments/sweeps/baselines.py --output=baselines \
        --config.data.manifest=rain800.csv --config.training.steps=1500 --steps=1,4 \
        --draws=8

`regression_*` are the same network trained at t = 1 and nothing else, for several weights of the
perceptual term. `residual_*` are diffusions of the image residual: the complex difference is a
rotation of x - y, so with one constant its noise is white over frequencies (and as grey as rain),
and with the rain's spectrum it is noise of rain's own power spectrum. `original` is the first
design, with an EMA of its own; its sampling wants many steps.
"""

import dataclasses

from fftdiff_jax.config import Config, DiffusionConfig, RepresentationConfig
from fftdiff_jax.recipes.original_recipe import get_config as original_recipe

PERCEPTUAL_WEIGHTS = (0.0, 0.05, 0.1, 0.25, 0.5)


def get_sweep() -> dict[str, Config]:
    """Returns the recipes."""
    diffusion = DiffusionConfig(perceptual_weight=0.1)
    ours = Config(diffusion=diffusion)
    sweep = {"ours": ours}
    for weight in PERCEPTUAL_WEIGHTS:
        alone = dataclasses.replace(diffusion, perceptual_weight=weight, draw_share=0.0)
        sweep[f"regression_{weight:g}"] = dataclasses.replace(ours, diffusion=alone)
    for name, state in (
        ("white", RepresentationConfig(name="complex", normalisation="constant")),
        ("rain", RepresentationConfig(name="complex", normalisation="condition_aware")),
    ):
        sweep[f"residual_{name}"] = dataclasses.replace(ours, representation=state)
    sweep["original"] = original_recipe()
    return sweep
