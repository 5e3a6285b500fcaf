r"""What to spend the same minutes of training on: one change each of the default recipe.

    python -m experiments.compare --sweep=experiments/sweeps/budgets.py --output=budgets \
        --config.data.manifest=rain800.csv --minutes=5

Only at equal minutes on a quiet machine do these rows mean anything: a wider network or a larger
crop (`crop_96`, with half the batch) takes longer for a step. What wins in minutes need not win in
hours.
"""

import dataclasses

from fftdiff_jax.config import Config, DiffusionConfig


def get_sweep() -> dict[str, Config]:
    """Returns the recipes."""
    base = Config(diffusion=DiffusionConfig(perceptual_weight=0.1))

    def changed(part: str, **fields: object) -> Config:
        return dataclasses.replace(
            base, **{part: dataclasses.replace(getattr(base, part), **fields)}
        )

    larger = changed("data", crop_size=96)
    return {
        "default": base,
        "batch_8": changed("training", batch_size=8),
        "batch_32": changed("training", batch_size=32),
        "crop_96": dataclasses.replace(
            larger, training=dataclasses.replace(base.training, batch_size=8)
        ),
        "wider": changed("model", widths=(48, 96, 144)),
        "thinner": changed("model", widths=(24, 48, 72)),
        "deeper": changed("model", blocks=(2, 3, 4)),
        "photo_alone": changed("diffusion", spectrum_weight=0.0),
        "rate_2e-3": changed("training", learning_rate=2e-3),
        "rate_5e-4": changed("training", learning_rate=5e-4),
    }
