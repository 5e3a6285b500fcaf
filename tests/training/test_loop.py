"""The training loop: what a run trains for at which step."""

import dataclasses

import pytest

from fftdiff_jax.config import Config, DataConfig, ModelConfig, RepresentationConfig, TrainingConfig
from fftdiff_jax.errors import UserError
from fftdiff_jax.restore.open_weights import load_weights
from fftdiff_jax.training import loop
from tests import tiny


@pytest.mark.slow
def test_draws_cost_and_change_nothing_before_their_time(tmp_path):
    manifest = tiny.write_pairs(tmp_path / "pairs")
    config = Config(
        data=DataConfig(str(manifest), crop_size=32, cache_dir=str(tmp_path / "cache")),
        model=ModelConfig(widths=(8, 16), blocks=(1, 1)),
        representation=RepresentationConfig(normalisation="constant"),
        training=TrainingConfig(steps=4, batch_size=2, log_every=1, checkpoint_every=1),
    )

    def losses(name, **fields):
        diffusion = dataclasses.replace(config.diffusion, **fields)
        run = dataclasses.replace(config, diffusion=diffusion)
        loop.train(run, tmp_path / name, progress=False)
        return tiny.losses(tmp_path / name)

    late, never = losses("late", draw_start=0.5), losses("never", draw_share=0.0)
    assert late[:2] == never[:2]
    assert late[2] != never[2]
    assert losses("always", draw_start=0.0)[0] != never[0]


@pytest.mark.slow
def test_the_best_weights_are_trained_for_draws(pairs_csv, tmp_path, monkeypatch):
    config = Config(
        data=DataConfig(str(pairs_csv), crop_size=32, cache_dir=str(tmp_path / "cache")),
        model=ModelConfig(widths=(8, 16), blocks=(1, 1), self_conditioning=False),
        representation=RepresentationConfig(normalisation="constant"),
        training=TrainingConfig(
            steps=4, batch_size=2, evaluate_every=1, evaluate_photos=1, evaluate_crop=32
        ),
    )
    monkeypatch.setattr(loop, "_evaluate", lambda *unused: {})
    for start, best in ((0.0, 1), (0.5, 3)):
        falling = iter([{"psnr_y": 30.0 - step, "gain_y": 1.0} for step in range(4)])
        monkeypatch.setattr(
            loop.Validation, "score", lambda *_, falling=falling, **more: next(falling)
        )
        diffusion = dataclasses.replace(config.diffusion, draw_start=start)
        run = dataclasses.replace(config, diffusion=diffusion)
        loop.train(run, tmp_path / str(start), progress=False)
        assert load_weights(tmp_path / str(start))[2] == best


def test_a_network_that_is_too_large_is_refused_before_anything_is_read(tmp_path):
    model = ModelConfig(widths=(4096,) * 6, blocks=(2,) * 6)
    with pytest.raises(UserError, match="parameters; at most"):
        loop.train(Config(DataConfig("nowhere.csv"), model=model), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
