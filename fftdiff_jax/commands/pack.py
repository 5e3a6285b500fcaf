"""Packs a run's best weights and their configuration into one small file.

    fftdiff-jax pack --checkpoint=runs/mine --output=mine.safetensors

The file restores photos wherever a checkpoint would: --checkpoint=mine.safetensors. It holds the
averaged weights in half precision, no optimiser, no pickle, and none of your folders' names.
--config.sampling.FIELD=VALUE sets how it restores by default.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from absl import flags

from fftdiff_jax.commands import config_flags, shared
from fftdiff_jax.errors import UserError

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "a run's folder, or one of its checkpoints")
_OUTPUT = shared.define_output("the file, NAME.safetensors")
_NOTE = flags.DEFINE_string("note", "", "a line on where the weights come from")
_DTYPE = flags.DEFINE_enum("dtype", "float16", ["float16", "float32"], "of the numbers in it")


def main(overrides: list[str]) -> int:
    """Packs what the flags name."""
    checkpoint = shared.require("checkpoint", _CHECKPOINT.value)
    output = Path(shared.require("output", _OUTPUT.value)).expanduser()
    if output.suffix != ".safetensors":
        raise UserError(f"--output {output}: its name must end in .safetensors")
    print(f"packing {checkpoint}", flush=True)
    shared.prepare_jax("")
    from fftdiff_jax.restore.open_weights import load_weights
    from fftdiff_jax.restore.weights import save_weights

    params, config, step = load_weights(checkpoint)
    sampling = config_flags.override(config, overrides).sampling
    # A folder of this machine means nothing elsewhere, and may say too much.
    data = dataclasses.replace(
        config.data,
        manifest=Path(config.data.manifest).name,
        streaks_dir=Path(config.data.streaks_dir).name,
        cache_dir="",
        shards_dir="",
    )
    training = dataclasses.replace(
        config.training, initial_weights=Path(config.training.initial_weights).name
    )
    config = dataclasses.replace(config, data=data, training=training, sampling=sampling)
    save_weights(output, params, config, _NOTE.value or f"step {step}", _DTYPE.value)
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB, step {step}")
    return 0
