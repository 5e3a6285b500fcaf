r"""Rain800 on a laptop or a small machine: about 40 minutes on 2 cores.

    fftdiff-jax prepare --layout=rain800 --root=DIR --output=rain800.csv
    fftdiff-jax train --config=rain800_cpu \
        --config.data.manifest=rain800.csv --workdir=runs/rain800_cpu

The val pairs score 22.2 dB (PSNR on Y), restored 27.3: docs/results.md.
"""

from fftdiff_jax.config import Config, DataConfig, DiffusionConfig, TrainingConfig


def get_config() -> Config:
    """Returns the experiment."""
    return Config(
        data=DataConfig(manifest="rain800.csv"),
        diffusion=DiffusionConfig(perceptual_weight=0.1),
        training=TrainingConfig(steps=10_000),
    )
