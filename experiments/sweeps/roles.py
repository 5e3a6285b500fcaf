"""How much of each batch is trained for one step, for draws and for refining.

    python -m experiments.compare --sweep=experiments/sweeps/roles.py --output=roles \
        --config.data.manifest=rain800.csv --config.training.steps=1000 --steps=1,4 --draws=8

The names say the share at t = 1 in percent, and whether refining has a part of the rest. All but
`regression` are the same network, data order and losses.
"""

import dataclasses

from fftdiff_jax.config import Config, DiffusionConfig

SHARES = {
    "50_refine": (0.5, 0.25),
    "50": (0.5, 0.0),
    "75": (0.75, 0.0),
    "87": (0.875, 0.0),
    "regression": (1.0, 0.0),
}


def get_sweep() -> dict[str, Config]:
    """Returns the recipes."""
    base = DiffusionConfig(perceptual_weight=0.1, refine_perceptual_weight=0.5)
    return {
        name: Config(diffusion=dataclasses.replace(base, noisiest_share=first, refine_share=refine))
        for name, (first, refine) in SHARES.items()
    }
