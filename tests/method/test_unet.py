"""The network: sizes, types and what its output may depend on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fftdiff_jax.method.unet import (
    UNet,
    depth_to_space,
    level_features,
    pad_to_multiple,
    space_to_depth,
)


def apply(net, x, level):
    params = net.init(jax.random.key(0), x, level, jnp.ones_like(level))
    leaves, tree = jax.tree.flatten(params)
    rng = np.random.default_rng(0)
    # The last layer starts at 0; shaken, the output depends on everything.
    leaves = [leaf + 0.05 * rng.standard_normal(leaf.shape, np.float32) for leaf in leaves]
    params = jax.tree.unflatten(tree, leaves)
    return lambda x, level, seen=1.0: (
        net.apply(params, x, level, jnp.full_like(level, seen)).picture
    )


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (1, 1), (5, 64)])
def test_any_size_comes_back_as_it_went_in(size):
    x = jnp.ones((2, *size, 5))
    net = UNet(channels=3, widths=(8, 16), blocks=(1, 1))
    out = apply(net, x, jnp.zeros(2))(x, jnp.zeros(2))
    assert out.shape == (2, *size, 3)
    assert bool(jnp.all(jnp.isfinite(out)))


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_folding_keeps_every_pixel(factor, rng):
    x = jnp.asarray(rng.random((2, 8, 12, 3)))
    folded = space_to_depth(x, factor)
    assert folded.shape == (2, 8 // factor, 12 // factor, 3 * factor**2)
    np.testing.assert_array_equal(depth_to_space(folded, factor), x)


def test_padding_mirrors_and_keeps_what_fits(rng):
    x = jnp.asarray(rng.random((1, 5, 8, 1)))
    padded = pad_to_multiple(x, 8)
    assert padded.shape == (1, 8, 8, 1)
    np.testing.assert_array_equal(padded[:, 5:], x[:, 4:1:-1])
    assert pad_to_multiple(padded, 8) is padded


def test_a_shift_by_the_stride_shifts_the_output(rng):
    """No norm over space and no position: what is far from the border only moves."""
    net = UNet(channels=3, widths=(8, 16), blocks=(1, 1))
    assert net.stride == 4
    x = jnp.asarray(rng.random((1, 96, 96, 3)), jnp.float32)
    run = apply(net, x, jnp.zeros(1))
    out, moved = run(x, jnp.zeros(1)), run(jnp.roll(x, 4, axis=1), jnp.zeros(1))
    inside = slice(40, 56)
    np.testing.assert_allclose(moved[:, 44:60, inside], out[:, 40:56, inside], atol=1e-4)


def test_noise_level_reaches_the_output(rng):
    net = UNet(channels=3, widths=(8, 16), blocks=(1, 1))
    x = jnp.asarray(rng.random((1, 16, 16, 3)), jnp.float32)
    run = apply(net, x, jnp.zeros(1))
    levels = [run(x, jnp.full(1, level)) for level in (-20.0, 0.0, 20.0)]
    assert float(jnp.abs(levels[0] - levels[1]).max()) > 1e-3
    assert float(jnp.abs(levels[2] - levels[1]).max()) > 1e-3


def test_whether_noise_is_seen_reaches_the_output(rng):
    net = UNet(channels=3, widths=(8, 16), blocks=(1, 1))
    x = jnp.asarray(rng.random((1, 16, 16, 3)), jnp.float32)
    run = apply(net, x, jnp.zeros(1))
    assert float(jnp.abs(run(x, jnp.zeros(1), 0.0) - run(x, jnp.zeros(1), 1.0)).max()) > 1e-3


def test_what_it_says_of_its_error_does_not_train_the_picture(rng):
    """Gradients of deviation and colour reach their own layers alone."""
    net = UNet(channels=3, spectrum_numbers=4, widths=(8, 16), blocks=(1, 1))
    x = jnp.asarray(rng.random((1, 16, 16, 3)), jnp.float32)
    params = net.init(jax.random.key(0), x, jnp.zeros(1), jnp.ones(1))

    def error_alone(params):
        said = net.apply(params, x, jnp.zeros(1), jnp.ones(1))
        return jnp.sum(said.log_std) + jnp.sum(said.error_spectrum)

    sizes = {
        name: sum(float(jnp.abs(leaf).sum()) for leaf in jax.tree.leaves(tree))
        for name, tree in jax.grad(error_alone)(params)["params"].items()
    }
    assert {name for name, size in sizes.items() if size > 0} == {"deviation", "colour"}


def test_level_features_tell_levels_apart():
    features = level_features(jnp.linspace(-20.0, 20.0, 400))
    assert features.shape == (400, 32)
    distance = jnp.linalg.norm(features[:, None] - features[None], axis=-1)
    assert float((distance + 10 * jnp.eye(400)).min()) > 0.01


def test_bfloat16_keeps_float32_masters_and_output(rng):
    x = jnp.asarray(rng.random((1, 32, 32, 3)), jnp.float32)
    exact = UNet(channels=3, widths=(8, 16), blocks=(1, 1))
    fast = UNet(channels=3, widths=(8, 16), blocks=(1, 1), dtype=jnp.bfloat16)
    params = fast.init(jax.random.key(0), x, jnp.zeros(1), jnp.ones(1))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    one, other = (apply(net, x, jnp.zeros(1))(x, jnp.zeros(1)) for net in (exact, fast))
    assert other.dtype == jnp.float32
    assert 0 < float(jnp.abs(one - other).max()) < 0.05 * float(jnp.abs(one).max())
