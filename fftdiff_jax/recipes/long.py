r"""Weights to keep: a run of 20 hours and more on one core, in sessions that go on from each other.

    fftdiff-jax train --config=long --config.data.manifest=train.csv \
        --config.training.initial_weights=smaller.safetensors --workdir=runs/long

It begins as a smaller network that was trained before, such as that of the weights in the box, and
is wider than that from the first step on (fftdiff_jax/training/growth.py).

Muon at a constant rate, so that nobody has to know how long it will be. To end it, or to see what
it is worth so far, copy the folder, say at which step to stop and over how many of the last
steps the rates fall, and give the same command with that folder:

    cp -r runs/long runs/long_24000
    fftdiff-jax train ... --workdir=runs/long_24000 \
        --config.training.steps=27000 --config.training.decay_steps=3000

The original folder goes on as before. Only t = 1 is trained; draws are taught afterwards.
"""

from fftdiff_jax.config import Config, DataConfig, DiffusionConfig, ModelConfig, TrainingConfig


def get_config() -> Config:
    """Returns the experiment."""
    return Config(
        data=DataConfig(
            manifest="train.csv",
            crop_size=160,
            rescale=1.5,
            retoned=0.3,
            pair_repeats=2,
            rendered_rain=0.4,
            rain_on_rain=0.1,
            dry=0.08,
            toned_rain=0.2,
            photographed_rain=0.25,
            compressed=0.3,
        ),
        model=ModelConfig(widths=(48, 96, 192), blocks=(1, 2, 4)),
        diffusion=DiffusionConfig(perceptual_weight=0.1, draw_share=0.0),
        training=TrainingConfig(
            steps=1_000_000,
            batch_size=6,
            seed=26,
            optimizer="muon",
            muon_rate=0.003,
            muon_weight_decay=0.1,
            learning_rate=5e-4,
            schedule="constant",
            warmup_steps=200,
            ema_decay=0.999,
            checkpoint_every=200,
            evaluate_every=1000,
            evaluate_photos=63,
        ),
    )
