r"""How much of each batch is trained for draws too, all of it being trained for one step.

    python -m experiments.compare --sweep=experiments/sweeps/shares.py --output=shares \
        --config.data.manifest=rain800.csv --config.training.steps=1000 --steps=1,4 --draws=8

The names say the share in percent. `0` is
regression: the same network, data order and losses at t = 1, and nothing else. A step takes longer
by about the share.
"""

import dataclasses

from fftdiff_jax.config import Config, DiffusionConfig

SHARES = (0.0, 0.125, 0.25, 0.5)


def get_sweep() -> dict[str, Config]:
    """Returns the recipes."""
    base = DiffusionConfig(perceptual_weight=0.1)
    return {
        f"{100 * share:g}": Config(diffusion=dataclasses.replace(base, draw_share=share))
        for share in SHARES
    }
