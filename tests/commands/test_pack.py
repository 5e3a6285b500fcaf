"""The command line of pack."""

import dataclasses
import json

import numpy as np
from safetensors import safe_open
from skimage import data

from fftdiff_jax import Restorer
from fftdiff_jax.config import DataConfig
from fftdiff_jax.training.checkpoints import Checkpoints
from fftdiff_jax.training.state import create_state
from tests.commands import run


def test_a_packed_run_restores_as_the_run_and_names_no_folder_of_its_machine(
    tmp_path, tiny_restorer
):
    places = {name: f"/home/anna/{name}" for name in ("manifest", "streaks_dir", "cache_dir")}
    training = dataclasses.replace(
        tiny_restorer.config.training, initial_weights="/home/anna/runs/first"
    )
    config = dataclasses.replace(
        tiny_restorer.config,
        data=DataConfig(**places, shards_dir="/home/anna/shards"),
        training=training,
    )
    checkpoints = Checkpoints(tmp_path / "run")
    state = create_state(config)
    checkpoints.save(state.replace(ema_params=tiny_restorer.params), config, {})
    checkpoints.close()

    result = run(tmp_path, "pack", "--checkpoint=run", "--output=out.safetensors", "--note=mine")
    assert result.returncode == 0, result.stderr
    assert "out.safetensors: " in result.stdout
    with safe_open(tmp_path / "out.safetensors", "numpy") as file:
        about = file.metadata()
    assert about["note"] == "mine"
    assert "anna" not in json.dumps(about)
    photo = data.coffee()[:40, :50]
    packed = Restorer.from_checkpoint(tmp_path / "out.safetensors")
    found = packed(photo).astype(int)
    assert np.abs(found - tiny_restorer(photo)).max() <= 1
