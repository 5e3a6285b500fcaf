"""The training loop: what a run trains for at which step."""

import dataclasses

import pytest

from fftdiff_jax.config import Config, DataConfig, ModelConfig, RepresentationConfig, TrainingConfig
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
