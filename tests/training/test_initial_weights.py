"""A run that starts from the weights of another, or says in one line why it cannot."""

import dataclasses

import jax
import numpy as np
import pytest

from fftdiff_jax.config import Config, DataConfig, ModelConfig, RepresentationConfig, TrainingConfig
from fftdiff_jax.errors import UserError
from fftdiff_jax.restore.open_weights import load_weights
from fftdiff_jax.training.loop import train
from fftdiff_jax.training.state import create_state
from tests import tiny


@pytest.mark.slow
def test_a_run_starts_from_the_averaged_weights_of_another(tmp_path):
    manifest = tiny.write_pairs(tmp_path / "pairs")
    config = Config(
        data=DataConfig(str(manifest), crop_size=32, cache_dir=str(tmp_path / "cache")),
        model=ModelConfig(widths=(8, 16), blocks=(1, 1)),
        representation=RepresentationConfig(normalisation="constant"),
        training=TrainingConfig(steps=3, batch_size=2, log_every=3, learning_rate=1e-2),
    )
    train(config, tmp_path / "first", progress=False)
    first, _, _ = load_weights(tmp_path / "first")

    # With next to no learning rate the weights stay where they began.
    training = dataclasses.replace(
        config.training,
        steps=1,
        seed=7,
        learning_rate=1e-12,
        weight_decay=0.0,
        initial_weights=str(tmp_path / "first"),
    )
    again = dataclasses.replace(config, training=training)
    train(again, tmp_path / "second", progress=False)
    second, _, _ = load_weights(tmp_path / "second")
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    fresh = jax.tree.leaves(create_state(again).params)
    assert any(
        np.abs(a - b).max() > 1e-2 for a, b in zip(jax.tree.leaves(second), fresh, strict=True)
    )

    wider = dataclasses.replace(again, model=dataclasses.replace(config.model, widths=(16, 16)))
    with pytest.raises(UserError, match=r"initial_weights .*first: .*the configuration wants"):
        train(wider, tmp_path / "third", progress=False)
