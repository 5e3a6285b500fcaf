r"""The weights in the box: one step and draws, from the weights of `shipped_first`.

    fftdiff-jax train --config=shipped \
        --config.data.manifest=rain800.csv --workdir=runs/shipped

Real pairs, and clean photos of them under rendered rain of all kinds in half of the crops. About
40 minutes on 2 cores. It was run several times over, each time from the weights of the last, and
with half of each batch at later times: see fftdiff_jax/restore/pretrained/README.md for all that
was run, and docs/results.md for the scores.
"""

from fftdiff_jax.config import Config, DataConfig, DiffusionConfig, ModelConfig, TrainingConfig


def get_config() -> Config:
    """Returns the experiment."""
    return Config(
        data=DataConfig(manifest="rain800.csv", crop_size=96, rendered_rain=0.5),
        model=ModelConfig(widths=(32, 64, 128), blocks=(1, 2, 4)),
        diffusion=DiffusionConfig(perceptual_weight=0.1),
        training=TrainingConfig(
            steps=3_700,
            batch_size=16,
            seed=8,
            learning_rate=7e-4,
            initial_weights="runs/shipped_first",
            evaluate_every=500,
            evaluate_photos=32,
        ),
    )
