"""Both ways of predicting: consistency of state and photo, and who sees what."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fftdiff_jax.config import Config, DiffusionConfig, ModelConfig, RepresentationConfig
from fftdiff_jax.errors import UserError
from fftdiff_jax.method import diffusion
from fftdiff_jax.method.denoiser import TONE_VARIANCE
from fftdiff_jax.method.method import make_method

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


STD = jnp.full((2, 24, 20, 1), 0.1)  # of what an earlier step said


@functools.cache
def predictor(name):
    """How a configuration predicts, compiled, and its fresh parameters."""
    method = make_method(CONFIGS[name])
    return jax.jit(method.predict), method.init(jax.random.key(0))


@functools.cache
def shaken_params(name):
    leaves, tree = jax.tree.flatten(predictor(name)[1])
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
    predict, _ = predictor(name)
    said = predict(shaken_params(name), noisy, rainy, jnp.array([0.3, 0.9]), rainy, STD)
    decoded = make_method(CONFIGS[name]).representation.decode(said.state, rainy)
    # What a direct prediction says of nearly pure noise is no photo: its numbers are millions.
    scale = np.maximum(1, np.abs(said.photo).max())
    np.testing.assert_allclose(decoded / scale, said.photo / scale, atol=1e-4)


def test_a_fresh_network_says_that_the_rainy_photo_is_clean(photos):
    """The exit layer starts at 0, so training starts from doing nothing."""
    rainy, noisy = photos
    predict, fresh = predictor("image_consistent")
    said = predict(fresh, noisy, rainy, jnp.ones(2), rainy, STD)
    # At t = 1 alpha is 5e-5, so what noise decodes to is believed that much.
    np.testing.assert_allclose(said.photo, rainy, atol=1e-4)
    np.testing.assert_allclose(said.state, 0, atol=1e-2)


def test_pure_noise_is_not_looked_at(photos):
    """At t = 1 alpha is 5e-5, so what the noise decodes to cannot matter."""
    rainy, noisy = photos
    predict, _ = predictor("image_consistent")
    params = shaken_params("image_consistent")
    one = predict(params, noisy, rainy, jnp.ones(2), rainy, STD)
    other = predict(params, -noisy, rainy, jnp.ones(2), rainy, STD)
    np.testing.assert_allclose(one.photo, other.photo, atol=1e-3)
    late = predict(params, noisy, rainy, jnp.full(2, 0.2), rainy, STD)
    other = predict(params, -noisy, rainy, jnp.full(2, 0.2), rainy, STD)
    assert float(jnp.abs(late.photo - other.photo).max()) > 1e-2


def test_direct_prediction_follows_its_target(photos):
    """Whatever the network says as noise, the clean state makes the noisy one with it."""
    rainy, noisy = photos
    predict, _ = predictor("direct")
    t = jnp.array([0.3, 0.6])
    said = predict(shaken_params("direct"), noisy, rainy, t, rainy, STD)
    schedule = diffusion.CosineSchedule()
    alpha, sigma = (f(t)[:, None, None, None] for f in (schedule.alpha, schedule.sigma))
    np.testing.assert_allclose(
        diffusion.diffuse(said.state, said.output, alpha, sigma), noisy, atol=1e-4
    )


def test_the_last_estimate_is_an_input(photos):
    rainy, noisy = photos
    predict, _ = predictor("image_consistent")
    params = shaken_params("image_consistent")
    one = predict(params, noisy, rainy, jnp.full(2, 0.5), rainy, STD)
    other = predict(params, noisy, rainy, jnp.full(2, 0.5), 1 - rainy, STD)
    assert float(jnp.abs(one.photo - other.photo).max()) > 1e-3


def test_a_spectrum_is_not_shown_mirrored(photos):
    rainy, noisy = photos
    method = make_method(CONFIGS["direct"])
    with pytest.raises(UserError, match=r"sampling\.mirror"):
        method.predict(shaken_params("direct"), noisy, rainy, jnp.ones(2), rainy, STD, True)


def test_what_is_carried_between_steps_follows_from_noise_and_denoiser():
    assert make_method(CONFIGS["image_consistent"]).carries_photos
    assert not make_method(CONFIGS["direct"]).carries_photos
    independent = dataclasses.replace(
        CONFIGS["image_consistent"], diffusion=DiffusionConfig(noise="independent")
    )
    assert not make_method(independent).carries_photos


def test_the_veil_is_believed_less_than_its_waves(photos):
    """A state that shows the rainy photo brighter throughout moves the guess by the tone's gain.

    With a fresh network, whose picture is 0, the photo is the guess itself.
    """
    rainy, _ = photos
    method = make_method(CONFIGS["image_consistent"])
    t, std = jnp.full(2, 0.3), jnp.full((2, 24, 20, 1), 0.05)
    brighter = method.representation.encode(rainy + 0.1, rainy)
    alpha, sigma = (
        float(f(jnp.float32(0.3))) for f in (method.schedule.alpha, method.schedule.sigma)
    )
    predict, fresh = predictor("image_consistent")
    shown = method.representation.decode(alpha * brighter, rainy) - rainy
    found = predict(fresh, alpha * brighter, rainy, t, rainy, std).photo - rainy
    gain = alpha * TONE_VARIANCE / (alpha**2 * TONE_VARIANCE + sigma**2)
    np.testing.assert_allclose(found.mean(axis=(1, 2)), gain * shown.mean(axis=(1, 2)), rtol=1e-3)


def test_what_is_left_of_the_error_shrinks_as_the_state_shows_more(photos):
    """log_std falls by half the log of what Kalman's gain leaves of the variance."""
    rainy, _ = photos
    predict, fresh = predictor("image_consistent")
    nothing = jnp.zeros((*rainy.shape[:-1], 6))
    found = [
        predict(fresh, nothing, rainy, jnp.full(2, t), rainy, STD).log_std.mean()
        for t in (0.95, 0.5, 0.1)
    ]
    assert found[0] > found[1] > found[2]
