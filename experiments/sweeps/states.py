r"""What state and normalisation are worth, all else being equal.

    python -m experiments.compare --sweep=experiments/sweeps/states.py --output=states \
        --config.data.manifest=rain800.csv --config.training.steps=1500 --steps=1,4 --draws=8

States differ in their draws, so these are trained from the first step on.
"""

import dataclasses

from fftdiff_jax.config import Config, DiffusionConfig, RepresentationConfig

STATES = {
    "ratio_aware": RepresentationConfig("log_ratio", "wrapped", "condition_aware"),
    "ratio_constant": RepresentationConfig("log_ratio", "wrapped", "constant"),
    "ratio_raw_phase": RepresentationConfig("log_ratio", "raw", "condition_aware"),
    "signed_aware": RepresentationConfig("signed_log", "wrapped", "condition_aware"),
    "signed_constant": RepresentationConfig("signed_log", "raw", "constant"),
    "complex_aware": RepresentationConfig("complex", "wrapped", "condition_aware"),
}


def get_sweep() -> dict[str, Config]:
    """Returns the recipes."""
    base = Config(diffusion=DiffusionConfig(perceptual_weight=0.1))
    sweep = {
        name: dataclasses.replace(base, representation=state) for name, state in STATES.items()
    }
    return sweep
