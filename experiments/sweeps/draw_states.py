r"""What the state is worth to draws: the same first estimate, network, steps and data.

    python -m experiments.compare --sweep=experiments/sweeps/draw_states.py --output=draw_states \
        --config.data.manifest=train.csv --config.training.initial_weights=first.safetensors \
        --config.training.steps=400 --config.training.decay_steps=150 \
        --seeds=0,1 --draws=8 --limit=32

The weights hold a first estimate and no denoiser, or the state that they were trained in would
have a start. The complex difference of the spectra is a rotation of x - y: with one constant its
noise is white, as in a diffusion of the image residual, and with the rain's spectrum it is noise of
rain's own power spectrum.
"""

import dataclasses

from fftdiff_jax.config import Config, RepresentationConfig
from fftdiff_jax.recipes.draws import get_config

STATES = {
    "log_ratio": RepresentationConfig(),
    "residual_white": RepresentationConfig(name="complex", normalisation="constant"),
    "residual_rain": RepresentationConfig(name="complex", normalisation="condition_aware"),
}


def get_sweep() -> dict[str, Config]:
    """Returns the recipes."""
    base = get_config()
    return {name: dataclasses.replace(base, representation=state) for name, state in STATES.items()}
