"""Both ways of predicting: consistency of state and photo, and who sees what."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fftdiff_jax.config import Config, DiffusionConfig, ModelConfig, RepresentationConfig
from fftdiff_jax.method import diffusion
from fftdiff_jax.method.denoiser import RAIN_VARIANCE
from fftdiff_jax.method.method import make_method
from fftdiff_jax.method.noises import draw_latent

SMALL = {"widths": (8, 16), "blocks": (1, 1)}
CONFIGS = {
    "image_consistent": Config(model=ModelConfig(**SMALL)),
    "signed_log": Config(
        model=ModelConfig(**SMALL),
        representation=RepresentationConfig("signed_log", "raw", "constant"),
    ),
    "direct": Config(
        model=ModelConfig(prediction="direct", **SMALL),
        representation=RepresentationConfig("signed_log", "raw", "constant"),
        diffusion=DiffusionConfig(target="noise"),
    ),
}


@functools.cache
def predictor(config):
    """How a configuration predicts, compiled."""
    return jax.jit(make_method(config).predict)


@functools.cache
def shaken_params(config):
    leaves, tree = jax.tree.flatten(make_method(config).init(jax.random.key(0)))
    rng = np.random.default_rng(0)
    return jax.tree.unflatten(
        tree, [leaf + 0.02 * rng.standard_normal(leaf.shape, np.float32) for leaf in leaves]
    )


def latent_of(seed):
    return jax.vmap(lambda key: draw_latent(key, (24, 20)))(
        jax.random.split(jax.random.key(seed), 2)
    )


@pytest.fixture
def photos(rng):
    rainy = jnp.asarray(rng.random((2, 24, 20, 3)), jnp.float32)
    return rainy, jax.random.normal(jax.random.key(0), (2, 24, 20, 6))


def predict(config, params, noisy, rainy, t, *, first=None, latent=None):
    first = rainy if first is None else first
    latent = latent_of(0) if latent is None else latent
    t = jnp.broadcast_to(jnp.asarray(t, jnp.float32), (2,))
    return predictor(config)(params, noisy, rainy, t, first, latent)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_photo_is_what_the_state_decodes_to(name, photos):
    rainy, noisy = photos
    config = CONFIGS[name]
    found = predict(config, shaken_params(config), noisy, rainy, [0.3, 0.9])
    decoded = make_method(config).representation.decode(found.state, rainy)
    # What a direct prediction makes of nearly pure noise is no photo: its numbers are millions.
    scale = np.maximum(1, np.abs(found.photo).max())
    np.testing.assert_allclose(decoded / scale, found.photo / scale, atol=1e-4)


def test_a_fresh_network_says_that_the_rainy_photo_is_clean(photos):
    """The exit layers start at 0, so training starts from doing nothing."""
    rainy, noisy = photos
    config = CONFIGS["image_consistent"]
    params = make_method(config).init(jax.random.key(0))
    np.testing.assert_array_equal(make_method(config).estimate(params, rainy), rainy)
    found = predict(config, params, noisy, rainy, 1.0)
    # At t = 1 alpha is 5e-5, so what noise decodes to is believed that much.
    np.testing.assert_allclose(found.photo, rainy, atol=1e-4)
    np.testing.assert_allclose(found.state, 0, atol=1e-2)


def test_pure_noise_is_not_looked_at(photos):
    """At t = 1 alpha is 5e-5, so what the noise decodes to cannot matter."""
    rainy, noisy = photos
    config = CONFIGS["image_consistent"]
    params = shaken_params(config)
    one, other = (predict(config, params, sign * noisy, rainy, 1.0).photo for sign in (1, -1))
    np.testing.assert_allclose(one, other, atol=1e-3)
    one, other = (predict(config, params, sign * noisy, rainy, 0.2).photo for sign in (1, -1))
    assert float(jnp.abs(one - other).max()) > 1e-2


def test_near_t_0_the_guess_is_what_the_state_shows(photos):
    """Whatever the first estimate is: with a fresh network, whose picture is 0, it is the photo."""
    rainy, _ = photos
    config = CONFIGS["image_consistent"]
    method = make_method(config)
    clean = 0.5 * rainy + 0.2
    state = method.representation.encode(clean, rainy)
    params = method.init(jax.random.key(0))
    found = predict(config, params, state, rainy, 0.0, first=0.9 * rainy)
    np.testing.assert_allclose(found.photo, clean, atol=1e-3)
    # Half way, the gain is k = alpha v / (alpha^2 v + sigma^2).
    alpha, sigma = (
        float(f(jnp.float32(0.5))) for f in (method.schedule.alpha, method.schedule.sigma)
    )
    gain = alpha * RAIN_VARIANCE / (alpha**2 * RAIN_VARIANCE + sigma**2)
    found = predict(config, params, alpha * state, rainy, 0.5)
    shown = method.representation.decode(alpha * state, rainy)
    np.testing.assert_allclose(found.photo, rainy + gain * (shown - rainy), atol=1e-4)


def test_the_latent_decides_which_sample_it_is(photos):
    """Both its parts: the numbers move the photo as a whole, a pixel moves its surroundings."""
    rainy, noisy = photos
    config = CONFIGS["image_consistent"]
    params = shaken_params(config)
    latent = latent_of(1)
    one = predict(config, params, noisy, rainy, 1.0, latent=latent).photo
    np.testing.assert_array_equal(
        one, predict(config, params, noisy, rainy, 1.0, latent=latent).photo
    )
    other = latent._replace(numbers=-latent.numbers)
    moved = jnp.abs(predict(config, params, noisy, rainy, 1.0, latent=other).photo - one)
    assert float(moved.min(axis=-1).max()) > 1e-4
    other = latent._replace(pixels=latent.pixels.at[:, 0, 0].add(5.0))
    moved = jnp.abs(predict(config, params, noisy, rainy, 1.0, latent=other).photo - one)
    assert float(moved[:, 0, 0].max()) > 1e-4
    assert float(moved[:, -1, -1].max()) == 0


def test_direct_prediction_follows_its_target(photos):
    """Whatever the network says as noise, the clean state makes the noisy one with it."""
    rainy, noisy = photos
    config = CONFIGS["direct"]
    t = jnp.array([0.3, 0.6])
    found = predict(config, shaken_params(config), noisy, rainy, t)
    schedule = diffusion.CosineSchedule()
    alpha, sigma = (f(t)[:, None, None, None] for f in (schedule.alpha, schedule.sigma))
    np.testing.assert_allclose(
        diffusion.diffuse(found.state, found.output, alpha, sigma), noisy, atol=1e-4
    )


def test_the_first_estimate_is_an_input(photos):
    rainy, noisy = photos
    config = CONFIGS["image_consistent"]
    params = shaken_params(config)
    one, other = (
        predict(config, params, noisy, rainy, 0.5, first=first).photo
        for first in (rainy, 1 - rainy)
    )
    assert float(jnp.abs(one - other).max()) > 1e-3


def test_a_mirrored_look_makes_the_estimate_mirror_with_the_photo(photos):
    """The mean of both looks of a mirrored photo is the mirrored mean; one look alone is not."""
    rainy, _ = photos
    config = CONFIGS["image_consistent"]
    method, params = make_method(config), shaken_params(config)
    for mirror, least, most in ((True, 0, 1e-5), (False, 1e-4, 1)):
        one, other = (
            method.estimate(params, photo, mirror) for photo in (rainy, rainy[:, :, ::-1])
        )
        assert least <= float(jnp.abs(one - other[:, :, ::-1]).max()) <= most


def test_there_is_no_network_for_what_is_not_trained():
    method = make_method(
        Config(model=ModelConfig(**SMALL), diffusion=DiffusionConfig(draw_share=0.0))
    )
    assert method.denoiser is None
    assert set(method.init(jax.random.key(0))) == {"first"}
    assert set(make_method(CONFIGS["direct"]).init(jax.random.key(0))) == {"denoiser"}
