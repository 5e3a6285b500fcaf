"""A gradient that is no number: the run stops there, and nothing of it is saved."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import pytest

from fftdiff_jax.config import Config, DataConfig, ModelConfig, RepresentationConfig, TrainingConfig
from fftdiff_jax.errors import UserError
from fftdiff_jax.training import loop, step
from fftdiff_jax.training.checkpoints import Checkpoints
from tests import tiny

pytestmark = pytest.mark.fault


@jax.custom_vjp
def spoil(loss):
    """The same loss, with a gradient that is no number."""
    return loss


spoil.defvjp(lambda loss: (loss, None), lambda _, gradient: (gradient * jnp.nan,))


def make_spoilt_step(original, nth, config):
    """A training step whose `nth` call has a bad gradient."""
    good, calls = original(config), []

    def one(*given):
        calls.append(None)
        if len(calls) != nth:
            return good(*given)
        first_loss = step.first_loss
        with pytest.MonkeyPatch.context() as patch:
            # Traced at its first call, while the loss is spoilt.
            patch.setattr(step, "first_loss", lambda *of: spoil(first_loss(*of)))
            return original(config)(*given)

    return one


def test_a_gradient_that_is_no_number_stops_the_run_before_it_is_saved(tmp_path, monkeypatch):
    manifest = tiny.write_pairs(tmp_path / "pairs")
    config = Config(
        data=DataConfig(str(manifest), crop_size=32, cache_dir=str(tmp_path / "cache")),
        model=ModelConfig(widths=(8, 16), blocks=(1, 1)),
        representation=RepresentationConfig(normalisation="constant"),
        training=TrainingConfig(steps=8, batch_size=2, log_every=8, checkpoint_every=2),
    )
    make = loop.make_train_step
    with monkeypatch.context() as patch:
        patch.setattr(loop, "make_train_step", functools.partial(make_spoilt_step, make, 5))
        with pytest.raises(UserError, match="step 5: gradient norm is nan") as caught:
            loop.train(config, tmp_path / "run", progress=False)
    assert "\n" not in str(caught.value)
    with contextlib.closing(Checkpoints(tmp_path / "run")) as checkpoints:
        assert checkpoints.steps() == [2, 4]
    loop.train(config, tmp_path / "run", progress=False)
    loop.train(config, tmp_path / "whole", progress=False)
    assert tiny.losses(tmp_path / "run") == tiny.losses(tmp_path / "whole")
