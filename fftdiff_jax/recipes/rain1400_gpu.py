r"""Rain1400 (12,600 pairs, a tenth of them for val) on Great Lakes: a node of four A40s.

    fftdiff-jax prepare --layout=rain1400 --root=DIR/training --output=rain1400.csv
    sbatch --account=ACCOUNT --gres=gpu:4 --cpus-per-task=16 launch_gpu.sh \
        --config=rain1400_gpu --config.data.manifest=rain1400.csv \
        --workdir=runs/rain1400_gpu

All the ways to run it: docs/greatlakes.md. Not yet run on a GPU: time and score are to be measured.
"""

from fftdiff_jax.config import Config, DataConfig, DiffusionConfig, ModelConfig, TrainingConfig


def get_config() -> Config:
    """Returns the experiment."""
    return Config(
        data=DataConfig(
            manifest="rain1400.csv",
            crop_size=128,
            rendered_rain=0.1,
            cache_gigabytes=32.0,
            workers=8,
        ),
        model=ModelConfig(widths=(64, 128, 256, 256), blocks=(2, 2, 4, 4), dtype="bfloat16"),
        diffusion=DiffusionConfig(perceptual_weight=0.1),
        training=TrainingConfig(
            steps=300_000,
            batch_size=64,
            learning_rate=5e-4,
            warmup_steps=1000,
            ema_decay=0.9995,
            log_every=100,
            checkpoint_every=2000,
            evaluate_every=10_000,
            sample_every=20_000,
        ),
    )
