r"""The first part of the training of the weights in the box: the estimate at t = 1 alone.

    fftdiff-jax train --config=shipped_first \
        --config.data.manifest=rain800.csv --workdir=runs/shipped_first

See fftdiff_jax/restore/pretrained/README.md for what was run, and `shipped` for the second part.
"""

from fftdiff_jax.config import Config, DataConfig, DiffusionConfig, ModelConfig, TrainingConfig


def get_config() -> Config:
    """Returns the experiment."""
    return Config(
        data=DataConfig(manifest="rain800.csv", crop_size=96, rendered_rain=0.5),
        model=ModelConfig(widths=(32, 64, 128), blocks=(1, 2, 4)),
        diffusion=DiffusionConfig(perceptual_weight=0.1, draw_share=0.0),
        training=TrainingConfig(steps=20_000, batch_size=8),
    )
