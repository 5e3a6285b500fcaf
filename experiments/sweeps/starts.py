r"""When training for draws begins, after which share of the steps.

    python -m experiments.compare --sweep=experiments/sweeps/starts.py --output=starts \
        --config.data.manifest=rain800.csv --config.training.steps=1000 --steps=1,4 --draws=4

The names say the share in percent; `never` is regression. Steps with draws take longer: for equal
minutes give --minutes in place of the number of steps.
"""

import dataclasses

from fftdiff_jax.config import Config, DiffusionConfig

STARTS = (0.0, 0.5, 0.75)


def get_sweep() -> dict[str, Config]:
    """Returns the recipes."""
    base = DiffusionConfig(perceptual_weight=0.1)
    sweep = {
        f"{100 * start:g}": Config(diffusion=dataclasses.replace(base, draw_start=start))
        for start in STARTS
    }
    sweep["never"] = Config(diffusion=dataclasses.replace(base, draw_share=0.0))
    return sweep
