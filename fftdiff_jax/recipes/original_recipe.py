r"""The first design, as it was: a UNet over the spectrum, for comparison.

    fftdiff-jax train --config=original_recipe \
        --config.data.manifest=rain800.csv --workdir=runs/original_recipe

The signed log of the raw magnitude difference and the raw phase difference, both scaled to [-1, 1],
are diffused with independent noise under the cosine schedule; the network sees them beside the
rainy photo's spectrum and predicts the noise; EMA of 0.995. Steps, crops, batch and network size
are those of rain800_cpu.
"""

from fftdiff_jax.config import (
    Config,
    DataConfig,
    DiffusionConfig,
    ModelConfig,
    RepresentationConfig,
    SamplingConfig,
    TrainingConfig,
)


def get_config() -> Config:
    """Returns the experiment."""
    return Config(
        data=DataConfig(manifest="rain800.csv"),
        representation=RepresentationConfig(
            name="signed_log", phase="raw", normalisation="constant"
        ),
        model=ModelConfig(prediction="direct"),
        diffusion=DiffusionConfig(noise="independent", target="noise"),
        sampling=SamplingConfig(sampler="ddpm", steps=100, draws=1, time_power=1.0),
        # EMA over some 200 steps; the draws take 100 steps each, so few photos are scored.
        training=TrainingConfig(
            steps=10_000,
            ema_decay=0.995,
            evaluate_every=5000,
            evaluate_photos=4,
            final_evaluation_limit=8,
        ),
    )
