r"""What each way of making examples is worth: equal steps from the same weights, in one order.

    python -m experiments.compare --sweep=experiments/sweeps/leads.py --output=leads \
        --config.data.manifest=train.csv --config.data.streaks_dir=streaks \
        --config.training.initial_weights=smaller.safetensors --seeds=0,1

`none` has pairs and rendered rain only, each other name adds one thing to it, and `all` adds
everything. To score what was trained on sets of other rain, name the runs:

    python -m experiments.compare --checkpoints=leads/none-0,leads/all-0 --limit=32 \
        --manifest=other.csv --output=leads_other
"""

import dataclasses
from typing import Any

from fftdiff_jax.config import Config, ModelConfig
from fftdiff_jax.recipes.long import get_config

PLAIN: dict[str, Any] = {
    "crop_size": 96,
    "rescale": 1.0,
    "retoned": 0.0,
    "rendered_rain": 0.4,
    "rain_on_rain": 0.0,
    "dry": 0.0,
    "toned_rain": 0.0,
    "photographed_rain": 0.0,
    "compressed": 0.0,
}
LEADS: dict[str, dict[str, Any]] = {
    "rescale": {"rescale": 1.5},
    "retoned": {"retoned": 0.3},
    "rain_on_rain": {"rain_on_rain": 0.1},
    "dry": {"dry": 0.08},
    "toned_rain": {"toned_rain": 0.2},
    "photographed": {"photographed_rain": 0.25},
    "compressed": {"compressed": 0.3},
}


def get_sweep() -> dict[str, Config]:
    """Returns the recipes."""
    long = get_config()
    base = dataclasses.replace(
        long,
        model=ModelConfig(widths=(32, 64, 128), blocks=(1, 2, 4)),
        training=dataclasses.replace(
            long.training,
            steps=400,
            batch_size=4,
            muon_rate=0.002,
            warmup_steps=50,
            decay_steps=160,
        ),
    )
    everything = {field: value for lead in LEADS.values() for field, value in lead.items()}
    recipes: dict[str, dict[str, Any]] = {"none": {}} | LEADS | {"all": everything}
    sweep = {
        name: dataclasses.replace(base, data=dataclasses.replace(base.data, **(PLAIN | changes)))
        for name, changes in recipes.items()
    }
    # As many pixels a step in one crop.
    sweep["large_crops"] = dataclasses.replace(
        sweep["none"],
        data=dataclasses.replace(sweep["none"].data, crop_size=192),
        training=dataclasses.replace(base.training, batch_size=1),
    )
    return sweep
