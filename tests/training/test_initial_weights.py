"""A run that starts from the weights of another, or says in one line why it cannot."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fftdiff_jax.config import (
    Config,
    DataConfig,
    DiffusionConfig,
    ModelConfig,
    RepresentationConfig,
    TrainingConfig,
)
from fftdiff_jax.errors import UserError
from fftdiff_jax.method.unet import space_to_depth
from fftdiff_jax.restore.open_weights import load_weights
from fftdiff_jax.restore.restorer import Restorer
from fftdiff_jax.training.loop import train
from fftdiff_jax.training.state import OTHER_PICTURES, create_state, start_from
from tests import tiny

MODEL = ModelConfig(widths=(8, 16), blocks=(1, 1))


def shaken(tree):
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: x + 0.1 * rng.standard_normal(x.shape, np.float32), tree)


def equal(one, other):
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in leaves)


@pytest.fixture(scope="module")
def fresh():
    return create_state(Config(model=MODEL))


def test_weights_of_both_networks_are_taken_as_they_are(fresh):
    params = shaken(fresh.params)
    state = start_from(fresh, params, "here")
    assert equal(state.params, params)
    assert equal(state.ema_params, params)
    flawed = jax.tree.map(jnp.array, params)
    del flawed["denoiser"]["unet"]["exit"]
    with pytest.raises(UserError, match=r"^here: .*exit"):
        start_from(fresh, flawed, "here")


def test_a_denoiser_starts_as_the_first_estimates_network(fresh):
    first = {"first": shaken(fresh.params["first"])}
    state = start_from(fresh, first, "here")
    assert equal(state.params, state.ema_params)
    assert equal(state.params["first"], first["first"])
    known, started, anew = (
        tree["unet"]
        for tree in (first["first"], state.params["denoiser"], fresh.params["denoiser"])
    )
    for name in ("down_0_0", "down_1_0", "up_0_0"):
        for layer in ("conv_in", "conv_out", "norm"):
            assert equal(started[name][layer], known[name][layer])
        assert equal(started[name]["modulation"], anew[name]["modulation"])
    assert equal(started["exit"], known["exit"])
    for name in ("condition_in", "condition_out"):
        assert equal(started[name], anew[name])


def test_its_entry_sees_its_guess_as_the_first_estimate_sees_the_rainy_photo(fresh, rng):
    """And a little of all else, as a fresh network would."""
    first = {"first": shaken(fresh.params["first"])}
    state = start_from(fresh, first, "here")
    known, started, anew = (
        tree["unet"]["entry"]
        for tree in (first["first"], state.params["denoiser"], fresh.params["denoiser"])
    )

    def seen(layer, *pictures):
        folded = space_to_depth(jnp.concatenate(pictures, axis=-1), 2)
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            folded, layer["kernel"], (1, 1), "SAME", dimension_numbers=numbers
        )

    guess, rainy, estimate, pixels = jnp.asarray(rng.random((4, 1, 8, 8, 3)), jnp.float32)
    nothing = jnp.zeros_like(rainy)
    np.testing.assert_allclose(
        seen(started, guess, nothing, nothing, nothing), seen(known, guess), atol=1e-5
    )
    np.testing.assert_array_equal(started["bias"], known["bias"])
    others = (nothing, rainy, estimate, pixels)
    np.testing.assert_allclose(
        seen(started, *others), OTHER_PICTURES * seen(anew, *others), atol=1e-5
    )


@pytest.mark.slow
def test_a_run_starts_from_the_averaged_weights_of_another(tmp_path):
    """From a first estimate alone, which draws nothing yet, to draws beside it; and from both."""
    manifest = tiny.write_pairs(tmp_path / "pairs")
    config = Config(
        data=DataConfig(str(manifest), crop_size=32, cache_dir=str(tmp_path / "cache")),
        model=MODEL,
        representation=RepresentationConfig(normalisation="constant"),
        diffusion=DiffusionConfig(draw_share=0.0),
        training=TrainingConfig(steps=3, batch_size=2, log_every=3, learning_rate=1e-2),
    )
    train(config, tmp_path / "first", progress=False)
    first, _, _ = load_weights(tmp_path / "first")
    assert set(first) == {"first"}
    photo = np.zeros((24, 20, 3), np.uint8)
    with pytest.raises(UserError, match="first: were trained for the first estimate alone") as no:
        Restorer.from_checkpoint(tmp_path / "first")(photo, draws=1)
    assert "\n" not in str(no.value)
    assert Restorer.from_checkpoint(tmp_path / "first")(photo).shape == photo.shape

    drawn = dataclasses.replace(
        config,
        diffusion=DiffusionConfig(),
        training=dataclasses.replace(
            config.training, freeze_first=True, initial_weights=str(tmp_path / "first")
        ),
    )
    train(drawn, tmp_path / "drawn", progress=False)
    both, _, _ = load_weights(tmp_path / "drawn")
    assert equal(both["first"], first["first"])
    assert Restorer.from_checkpoint(tmp_path / "drawn").sample(photo, draws=2).shape[0] == 2

    # With next to no learning rate the weights stay where they began.
    training = dataclasses.replace(
        config.training,
        steps=1,
        seed=7,
        learning_rate=1e-12,
        weight_decay=0.0,
        initial_weights=str(tmp_path / "drawn"),
    )
    again = dataclasses.replace(drawn, training=training)
    train(again, tmp_path / "second", progress=False)
    second, _, _ = load_weights(tmp_path / "second")
    for a, b in zip(jax.tree.leaves(both), jax.tree.leaves(second), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    fresh = jax.tree.leaves(create_state(again).params)
    assert any(
        np.abs(a - b).max() > 1e-2 for a, b in zip(jax.tree.leaves(second), fresh, strict=True)
    )

    # Draws are left out of a run that trains none.
    alone = dataclasses.replace(config, training=dataclasses.replace(training, steps=1))
    train(alone, tmp_path / "alone", progress=False)
    back, _, _ = load_weights(tmp_path / "alone")
    assert set(back) == {"first"}
    for a, b in zip(jax.tree.leaves(both["first"]), jax.tree.leaves(back), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)

    narrower = dataclasses.replace(again, model=dataclasses.replace(config.model, widths=(4, 4)))
    with pytest.raises(UserError, match=r"initial_weights .*drawn: .*the configuration wants"):
        train(narrower, tmp_path / "third", progress=False)
