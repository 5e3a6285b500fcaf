r"""The draws of weights whose first estimate is finished: it stays, and the denoiser learns.

    fftdiff-jax train --config=draws --config.data.manifest=train.csv \
        --config.training.initial_weights=runs/long --workdir=runs/draws

The network is that of the recipe `long`; for another first estimate name its own
(--config.model.widths and so on). The denoiser starts as it, at a low rate, or what it knows is
lost in the first hundred steps.
"""

from fftdiff_jax.config import Config, DataConfig, DiffusionConfig, ModelConfig, TrainingConfig


def get_config() -> Config:
    """Returns the experiment."""
    return Config(
        data=DataConfig(
            manifest="train.csv",
            crop_size=96,
            rescale=1.4,
            retoned=0.2,
            pair_repeats=2,
            rendered_rain=0.3,
            toned_rain=0.2,
            photographed_rain=0.25,
        ),
        model=ModelConfig(widths=(48, 96, 192), blocks=(1, 2, 4)),
        diffusion=DiffusionConfig(perceptual_weight=0.2, draw_share=1.0),
        training=TrainingConfig(
            steps=4000,
            batch_size=6,
            seed=23,
            optimizer="muon",
            muon_rate=0.002,
            learning_rate=5e-4,
            schedule="constant",
            decay_steps=1000,
            initial_weights="runs/long",
            freeze_first=True,
            evaluate_every=1000,
            sample_every=1000,
        ),
    )
