"""Nothing is compiled twice: not in a training run, and not over photos, draws or seen steps."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fftdiff_jax.config import Config, DataConfig, DiffusionConfig, ModelConfig, TrainingConfig
from fftdiff_jax.data import pipeline
from fftdiff_jax.data.manifest import read_manifest
from fftdiff_jax.training.cluster import processes
from fftdiff_jax.training.examples import Batch
from fftdiff_jax.training.loop import train
from fftdiff_jax.training.state import create_state
from fftdiff_jax.training.step import make_train_step
from tests.compilations import counted


def tiny_config(pairs_csv, tmp_path) -> Config:
    return Config(
        data=DataConfig(
            manifest=str(pairs_csv), crop_size=16, cache_dir=str(tmp_path / "cache"), workers=0
        ),
        model=ModelConfig(widths=(8,), blocks=(1,)),
        diffusion=DiffusionConfig(),
        training=TrainingConfig(
            steps=4,
            batch_size=4,
            log_every=1,
            checkpoint_every=2,
            evaluate_every=2,
            evaluate_photos=2,
            sample_every=2,
            final_evaluation_limit=1,
        ),
    )


def test_the_count_sees_a_compilation():
    with counted() as count:
        jax.jit(lambda x: jnp.sin(x) * 17.25)(jnp.ones(3)).block_until_ready()
    assert count.programs >= 1


def test_a_training_step_is_compiled_once(pairs_csv, tmp_path):
    config = tiny_config(pairs_csv, tmp_path)
    step, state = make_train_step(config), processes.on_own_devices(create_state(config))
    rows = read_manifest(pairs_csv, "train")
    with pipeline.training_batches(config.data, rows, batch_size=4, seed=0) as stream:

        def one(state):
            batch = next(stream)
            shaped = Batch(batch["clean"][None], batch["rainy"][None])
            return step(state, shaped, None)[0]

        state = one(state)
        with counted() as count:
            for _ in range(3):
                state = one(state)
    assert int(state.step) == 4
    assert count.programs == 0


@pytest.mark.slow
def test_a_longer_run_compiles_no_more_than_a_short_one(pairs_csv, tmp_path):
    programs = []
    for steps in (4, 8):  # both log, validate, sample and save more than once
        config = tiny_config(pairs_csv, tmp_path)
        training = dataclasses.replace(config.training, steps=steps)
        config = dataclasses.replace(config, training=training)
        jax.clear_caches()
        with counted() as count:
            train(config, tmp_path / f"run_{steps}", progress=False)
        programs.append(count.programs)
    assert programs[0] > 0
    assert programs[0] == programs[1]


def test_restoring_compiles_once_for_each_number_of_steps(tiny_restorer, rng):
    """And what takes long, the networks, once for all numbers together."""

    def photo(height, width):
        return rng.integers(0, 256, (height, width, 3), np.uint8)

    for steps in (1, 2):
        tiny_restorer(photo(40, 50), steps=steps, draws=1)
    with counted() as count:
        tiny_restorer(photo(22, 51))
        tiny_restorer(photo(33, 71), steps=2, draws=3, seed=5)
        tiny_restorer(photo(300, 20), steps=1)
        tiny_restorer.sample(photo(21, 22), steps=1, draws=2)
        tiny_restorer.uncertainty(photo(25, 31), steps=2, draws=2)
    assert count.programs == 0
    assert set(tiny_restorer._engine._compiled) == {("first", 1), ("step", 1)}
