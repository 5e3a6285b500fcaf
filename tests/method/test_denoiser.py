"""Both ways of predicting: consistency of state and photo, and who sees what."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fftdiff_jax.config import Config, DiffusionConfig, ModelConfig, RepresentationConfig
from fftdiff_jax.errors import UserError
from fftdiff_jax.method import diffusion, representations
from fftdiff_jax.method.denoiser import initial_params, predict

SMALL = {"widths": (8, 16), "blocks": (1, 1)}
CONFIGS = {
    "image_consistent": Config(model=ModelConfig(**SMALL)),
    "signed_log": Config(
        model=ModelConfig(**SMALL),
        representation=RepresentationConfig("signed_log", "raw", "constant"),
    ),
    "direct": Config(
        model=ModelConfig(prediction="direct", self_conditioning=False, **SMALL),
        representation=RepresentationConfig("signed_log", "raw", "constant"),
        diffusion=DiffusionConfig(target="noise", loss="state"),
    ),
}


DEVIATION = jnp.full((2, 24, 20, 1), 0.1)  # of what an earlier step said


def shaken_params(config):
    leaves, tree = jax.tree.flatten(initial_params(config, 0))
    rng = np.random.default_rng(0)
    return jax.tree.unflatten(
        tree, [leaf + 0.02 * rng.standard_normal(leaf.shape, np.float32) for leaf in leaves]
    )


@pytest.fixture
def photos(rng):
    rainy = jnp.asarray(rng.random((2, 24, 20, 3)), jnp.float32)
    return rainy, jax.random.normal(jax.random.key(0), (2, 24, 20, 6))


@pytest.mark.parametrize("name", CONFIGS)
def test_the_photo_is_what_the_state_decodes_to(name, photos):
    rainy, noisy = photos
    config = CONFIGS[name]
    said = predict(
        config, shaken_params(config), noisy, rainy, jnp.array([0.3, 0.9]), rainy, DEVIATION
    )
    decoded = representations.make_representation(config.representation).decode(said.state, rainy)
    np.testing.assert_allclose(decoded, said.photo, atol=1e-4)


def test_a_fresh_network_says_that_the_rainy_photo_is_clean(photos):
    """The exit layer starts at 0, so training starts from doing nothing."""
    rainy, noisy = photos
    config = CONFIGS["image_consistent"]
    said = predict(config, initial_params(config, 0), noisy, rainy, jnp.ones(2), rainy, DEVIATION)
    # At t = 1 alpha is 5e-5, so what noise decodes to is believed that much.
    np.testing.assert_allclose(said.photo, rainy, atol=1e-4)
    np.testing.assert_allclose(said.state, 0, atol=1e-2)


def test_pure_noise_is_not_looked_at(photos):
    """At t = 1 alpha is 5e-5, so what the noise decodes to cannot matter."""
    rainy, noisy = photos
    config = CONFIGS["image_consistent"]
    params = shaken_params(config)
    one = predict(config, params, noisy, rainy, jnp.ones(2), rainy, DEVIATION)
    other = predict(config, params, -noisy, rainy, jnp.ones(2), rainy, DEVIATION)
    np.testing.assert_allclose(one.photo, other.photo, atol=1e-3)
    late = predict(config, params, noisy, rainy, jnp.full(2, 0.2), rainy, DEVIATION)
    other = predict(config, params, -noisy, rainy, jnp.full(2, 0.2), rainy, DEVIATION)
    assert float(jnp.abs(late.photo - other.photo).max()) > 1e-2


def test_direct_prediction_follows_its_target(photos):
    """Whatever the network says as noise, the clean state makes the noisy one with it."""
    rainy, noisy = photos
    config = CONFIGS["direct"]
    t = jnp.array([0.3, 0.6])
    said = predict(config, shaken_params(config), noisy, rainy, t, rainy, DEVIATION)
    schedule = diffusion.CosineSchedule()
    alpha, sigma = (f(t)[:, None, None, None] for f in (schedule.alpha, schedule.sigma))
    np.testing.assert_allclose(
        diffusion.diffuse(said.state, said.output, alpha, sigma), noisy, atol=1e-4
    )


def test_the_last_estimate_is_an_input(photos):
    rainy, noisy = photos
    config = CONFIGS["image_consistent"]
    params = shaken_params(config)
    one = predict(config, params, noisy, rainy, jnp.full(2, 0.5), rainy, DEVIATION)
    other = predict(config, params, noisy, rainy, jnp.full(2, 0.5), 1 - rainy, DEVIATION)
    assert float(jnp.abs(one.photo - other.photo).max()) > 1e-3


def test_a_dropped_condition_is_not_seen(photos):
    rainy, noisy = photos
    config = CONFIGS["direct"]
    params = shaken_params(config)
    keep = jnp.array([True, False])
    t = jnp.full(2, 0.5)
    one = predict(config, params, noisy, rainy, t, rainy, DEVIATION, keep)
    other = predict(config, params, noisy, 1 - rainy, t, rainy, DEVIATION, keep)
    assert float(jnp.abs(one.output[0] - other.output[0]).max()) > 1e-3
    np.testing.assert_allclose(one.output[1], other.output[1], atol=1e-6)


def test_unknown_prediction_is_refused():
    with pytest.raises(UserError, match="known: image_consistent, direct"):
        initial_params(Config(model=ModelConfig(prediction="best")), 0)
