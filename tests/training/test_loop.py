"""The training loop: which of its weights are the best."""

import dataclasses

import jax
import pytest

from fftdiff_jax.config import Config, DataConfig, ModelConfig, RepresentationConfig, TrainingConfig
from fftdiff_jax.errors import UserError
from fftdiff_jax.method.method import make_method
from fftdiff_jax.restore.open_weights import load_weights
from fftdiff_jax.restore.weights import save_weights
from fftdiff_jax.training import loop


@pytest.mark.slow
@pytest.mark.parametrize(("freeze", "best"), [(False, 1), (True, 4)])
def test_the_best_weights_are_the_newest_where_draws_alone_are_trained(
    freeze, best, pairs_csv, tmp_path, monkeypatch
):
    """A draw's PSNR, which falls here, says little of how good it is."""
    config = Config(
        data=DataConfig(str(pairs_csv), crop_size=32, cache_dir=str(tmp_path / "cache")),
        model=ModelConfig(widths=(8, 16), blocks=(1, 1)),
        representation=RepresentationConfig(normalisation="constant"),
        training=TrainingConfig(
            steps=4, batch_size=2, evaluate_every=1, evaluate_photos=1, evaluate_crop=32
        ),
    )
    initial = tmp_path / "initial.safetensors"
    save_weights(initial, make_method(config).init(jax.random.key(0)), config)
    monkeypatch.setattr(loop, "_evaluate", lambda *unused: {})
    falling = iter([{"psnr_y": 30.0 - step, "gain_y": 1.0} for step in range(4)])
    monkeypatch.setattr(loop.Validation, "score", lambda *_, **more: next(falling))
    training = dataclasses.replace(
        config.training, freeze_first=freeze, initial_weights=str(initial)
    )
    loop.train(dataclasses.replace(config, training=training), tmp_path / "run", progress=False)
    assert load_weights(tmp_path / "run")[2] == best


def test_a_network_that_is_too_large_is_refused_before_anything_is_read(tmp_path):
    model = ModelConfig(widths=(4096,) * 6, blocks=(2,) * 6)
    with pytest.raises(UserError, match="parameters; at most"):
        loop.train(Config(DataConfig("nowhere.csv"), model=model), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
