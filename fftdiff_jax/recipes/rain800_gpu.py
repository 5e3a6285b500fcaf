r"""Rain800 on one GPU.

    fftdiff-jax train --config=rain800_gpu \
        --config.data.manifest=rain800.csv --workdir=runs/rain800_gpu

Not yet run on a GPU: time and score are to be measured.
"""

from fftdiff_jax.config import Config, DataConfig, DiffusionConfig, ModelConfig, TrainingConfig


def get_config() -> Config:
    """Returns the experiment."""
    return Config(
        data=DataConfig(manifest="rain800.csv", crop_size=128, rendered_rain=0.25, workers=8),
        model=ModelConfig(widths=(64, 128, 256, 256), blocks=(2, 2, 4, 4), dtype="bfloat16"),
        diffusion=DiffusionConfig(perceptual_weight=0.1),
        training=TrainingConfig(
            steps=100_000,
            batch_size=64,
            learning_rate=5e-4,
            warmup_steps=1000,
            ema_decay=0.9995,
            log_every=100,
            checkpoint_every=2000,
            evaluate_every=5000,
            sample_every=10_000,
        ),
    )
