"""The weights in the box: draws and refinement, from the weights of `shipped_first`.

    python -m experiments.train --config=experiments/configs/shipped.py \
        --config.data.manifest=rain800.csv --workdir=runs/shipped

Real pairs, and clean photos of them under rendered rain of all kinds in two fifths of the crops.
"""

from fftdiff_jax.config import Config, DataConfig, DiffusionConfig, ModelConfig, TrainingConfig


def get_config() -> Config:
    """Returns the experiment."""
    return Config(
        data=DataConfig(manifest="rain800.csv", crop_size=96, rendered_rain=0.4),
        model=ModelConfig(widths=(32, 64, 128), blocks=(1, 2, 4)),
        diffusion=DiffusionConfig(
            perceptual_weight=0.1, refine_share=0.125, refine_perceptual_weight=0.5
        ),
        training=TrainingConfig(
            steps=11_000,
            batch_size=8,
            seed=6,
            learning_rate=8e-4,
            initial_weights="runs/shipped_first",
        ),
    )
