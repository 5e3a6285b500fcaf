"""A larger network that begins as a smaller one does the same, and can learn more."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fftdiff_jax.config import Config, DiffusionConfig, ModelConfig
from fftdiff_jax.errors import UserError
from fftdiff_jax.method.method import make_method
from fftdiff_jax.method.noises import draw_latent
from fftdiff_jax.training.growth import grow
from fftdiff_jax.training.state import create_state, start_from

SMALL = ModelConfig(widths=(8, 16), blocks=(1, 2))
LARGER = {
    "wider": {"widths": (12, 24)},
    "deeper": {"blocks": (2, 3)},
    "both": {"widths": (8, 24), "blocks": (1, 4)},
}


def config(block="normed", **changes):
    model = {"widths": SMALL.widths, "blocks": SMALL.blocks, "block": block} | changes
    return Config(model=ModelConfig(**model), diffusion=DiffusionConfig(draw_share=1.0))


def shaken(tree):
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: x + 0.1 * rng.standard_normal(x.shape, np.float32), tree)


@functools.partial(jax.jit, static_argnums=0)
def outputs(settings, params):
    """What both networks say of one photo."""
    method = make_method(settings)
    rainy, noisy = (
        jax.random.uniform(jax.random.key(k), (1, 16, 16, c)) for k, c in ((1, 3), (2, 6))
    )
    latent = jax.tree.map(lambda x: x[None], draw_latent(jax.random.key(3), (16, 16)))
    first = method.estimate(params, rainy)
    photo = method.predict(params, noisy, rainy, jnp.full(1, 0.6), first, latent).photo
    return first, photo


@pytest.mark.parametrize(
    ("larger", "block"), [*((one, "normed") for one in LARGER), ("both", "plain")]
)
def test_it_does_the_same_at_first(larger, block):
    small, large = config(block), config(block, **LARGER[larger])
    params = shaken(create_state(small).params)
    grown = start_from(create_state(large), params, "here").params
    for before, after in zip(outputs(small, params), outputs(large, grown), strict=True):
        assert np.abs(before - 0.5).max() > 0.1  # it does something
        np.testing.assert_allclose(after, before, rtol=2e-5, atol=2e-5)


def test_all_that_is_new_learns_from_the_third_step_on():
    small, large = config(), config(widths=(12, 24), blocks=(2, 2))
    grown = start_from(create_state(large), shaken(create_state(small).params), "here").params

    @jax.jit
    def gradient(params):
        def loss(params):
            return sum(jnp.mean(jnp.square(photo - 0.3)) for photo in outputs(large, params))

        return jax.grad(loss)(params)

    for _ in range(2):
        grown = jax.tree.map(lambda p, g: p - 0.1 * g, grown, gradient(grown))
    for path, found in jax.tree_util.tree_leaves_with_path(gradient(grown)):
        ends = np.abs(found).reshape(-1, found.shape[-1]).max(axis=0)
        assert (ends > 0).all(), jax.tree_util.keystr(path)
        if found.ndim > 1:
            entries = np.abs(found).max(axis=(*range(found.ndim - 2), -1))
            assert (entries > 0).all(), jax.tree_util.keystr(path)


@pytest.mark.parametrize(
    "other", [{"widths": (8, 12)}, {"blocks": (1, 1)}, {"widths": (8, 16, 16), "blocks": (1, 2, 1)}]
)
def test_another_network_is_refused(other):
    params = create_state(config()).params
    fresh = create_state(config(**other))
    assert grow(params["first"], fresh.params["first"]) is params["first"]
    with pytest.raises(UserError, match=r"^here: "):
        start_from(fresh, params, "here")


def test_a_network_of_the_same_shapes_is_taken_to_the_last_bit():
    params = shaken(create_state(config()).params["first"])
    grown = grow(params, create_state(config()).params["first"])
    assert all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(grown), jax.tree.leaves(params), strict=True)
    )
