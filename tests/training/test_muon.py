"""Muon: steps whose singular values are all about 1, and which parameters take them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fftdiff_jax.config import Config, ModelConfig, TrainingConfig
from fftdiff_jax.method.method import make_method
from fftdiff_jax.training import muon
from fftdiff_jax.training.state import make_optimizer, rate_schedule


@pytest.mark.parametrize("shape", [(288, 32), (64, 40), (16, 48)])
def test_a_step_is_about_the_nearest_orthogonal_matrix(shape, rng):
    matrix = rng.standard_normal(shape).astype(np.float32)
    found = np.asarray(muon.orthogonal(jnp.asarray(matrix)))
    u, _, v = np.linalg.svd(matrix, full_matrices=False)
    values = np.linalg.svd(found, compute_uv=False)
    # Jordan's coefficients trade exactness for speed: within a third of 1.
    assert values.min() > 0.66
    assert values.max() < 1.25
    # The singular vectors are those of the matrix.
    mixed = u.T @ found @ v.T
    np.testing.assert_allclose(mixed, np.diag(np.diag(mixed)), atol=2e-3)


def test_the_size_of_a_gradient_does_not_matter(rng):
    matrix = jnp.asarray(rng.standard_normal((36, 12)), jnp.float32)
    np.testing.assert_allclose(
        muon.orthogonal(1e-3 * matrix), muon.orthogonal(50.0 * matrix), atol=1e-4
    )
    assert float(jnp.abs(muon.orthogonal(jnp.zeros((5, 3)))).max()) == 0


def test_momentum_is_nesterovs(rng):
    """The first two steps, written out: m = beta m + (1 - beta) g, looked ahead once more."""
    one, other = (jnp.asarray(rng.standard_normal((3, 3, 4, 5)), jnp.float32) for _ in range(2))
    transform = muon.scale_by_muon(beta=0.9)
    state = transform.init(one)
    first, state = transform.update(one, state)
    second, _ = transform.update(other, state)

    def step(momentum):
        return muon.orthogonal(momentum.reshape(36, 5)).reshape(one.shape)

    momentum = 0.1 * one
    np.testing.assert_allclose(first, step(0.9 * momentum + 0.1 * one), atol=1e-5)
    momentum = 0.9 * momentum + 0.1 * other
    np.testing.assert_allclose(second, step(0.9 * momentum + 0.1 * other), atol=1e-5)


def test_only_the_kernels_inside_the_network_are_muons():
    config = Config(
        model=ModelConfig(widths=(8, 16), blocks=(1, 1), block="plain"),
        training=TrainingConfig(optimizer="muon", weight_decay=0.0, muon_weight_decay=0.0),
    )
    params = make_method(config).init(jax.random.key(0))
    optimizer = make_optimizer(config.training)
    gradients = jax.tree.map(lambda leaf: jnp.ones_like(leaf) / leaf.size, params)
    state = optimizer.init(params)
    update = jax.jit(optimizer.update)
    _, state = update(gradients, state, params)
    updates, _ = update(gradients, state, params)
    network = updates["denoiser"]["unet"]
    inner = network["down_0_0"]["conv_in"]
    rate = float(rate_schedule(config.training)(1))
    values = np.linalg.svd(np.asarray(inner["kernel"]).reshape(72, 8), compute_uv=False)
    assert values[0] == pytest.approx(config.training.muon_rate * rate, rel=0.35)
    # AdamW moves every number by about the rate.
    for leaf in (inner["bias"], network["entry"]["kernel"], network["condition_in"]["kernel"]):
        np.testing.assert_allclose(np.abs(leaf), config.training.learning_rate * rate, rtol=0.01)


def test_a_constant_rate_does_not_know_how_long_the_run_will_be():
    def rates(**changes):
        config = TrainingConfig(schedule="constant", warmup_steps=10, **changes)
        return np.asarray([rate_schedule(config)(step) for step in range(101)])

    short, long = rates(steps=100, decay_steps=20), rates(steps=1000, decay_steps=20)
    np.testing.assert_array_equal(short[:80], long[:80])
    np.testing.assert_allclose(short[[0, 5, 10, 80, 90, 100]], [0, 0.5, 1, 1, 0.5, 0], atol=1e-6)


def test_the_cosine_is_optaxs():
    config = TrainingConfig(steps=1000, warmup_steps=100, learning_rate=1.0)
    expected = optax.warmup_cosine_decay_schedule(0.0, 1.0, 100, 1000, 0.01)
    for step in (0, 50, 100, 500, 1000):
        assert float(rate_schedule(config)(step)) == pytest.approx(float(expected(step)))
