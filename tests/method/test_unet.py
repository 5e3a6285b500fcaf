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


def apply(net, x, condition=None):
    params = net.init(jax.random.key(0), x, condition)
    leaves, tree = jax.tree.flatten(params)
    rng = np.random.default_rng(0)
    # The last layer starts at 0; shaken, the output depends on everything.
    leaves = [leaf + 0.05 * rng.standard_normal(leaf.shape, np.float32) for leaf in leaves]
    params = jax.tree.unflatten(tree, leaves)
    return jax.jit(lambda x, condition=None: net.apply(params, x, condition))


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (1, 1), (5, 64)])
def test_any_size_comes_back_as_it_went_in(size):
    x = jnp.ones((2, *size, 5))
    net = UNet(channels=3, widths=(8, 16), blocks=(1, 1))
    out = apply(net, x)(x)
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
    run = apply(net, x)
    out, moved = run(x), run(jnp.roll(x, 4, axis=1))
    inside = slice(40, 56)
    np.testing.assert_allclose(moved[:, 44:60, inside], out[:, 40:56, inside], atol=1e-4)


def test_every_number_of_the_condition_reaches_every_pixel(rng):
    net = UNet(channels=3, widths=(8, 16), blocks=(1, 1))
    x = jnp.asarray(rng.random((1, 16, 16, 3)), jnp.float32)
    condition = jnp.asarray(rng.standard_normal((1, 5)), jnp.float32)
    run = apply(net, x, condition)
    for i in range(5):
        moved = jnp.abs(run(x, condition.at[0, i].add(1.0)) - run(x, condition))
        assert float(moved.max(axis=-1).min()) > 1e-4


def test_conditions_differ_before_anything_is_learnt(rng):
    """In all blocks: two samples that are equal inside have no spread to learn from."""
    net = UNet(channels=3, widths=(8, 16), blocks=(1, 1))
    x = jnp.asarray(rng.random((1, 16, 16, 3)), jnp.float32)
    condition = jnp.asarray(rng.standard_normal((1, 5)), jnp.float32)
    params = net.init(jax.random.key(0), x, condition)
    one, other = (
        net.apply(params, x, c, capture_intermediates=True, mutable="intermediates")[1][
            "intermediates"
        ]
        for c in (condition, -condition)
    )
    for name in ("down_0_0", "down_1_0", "up_0_0"):
        said = [found[name]["modulation"]["__call__"][0] for found in (one, other)]
        assert float(jnp.abs(said[0] - said[1]).max()) > 1e-4, name


def test_without_a_condition_nothing_is_modulated(rng):
    net = UNet(channels=3, widths=(8, 16), blocks=(1, 1))
    params = net.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))["params"]
    assert not any(name.startswith("condition") for name in params)
    assert set(params["down_0_0"]) == {"norm", "conv_in", "conv_out"}


def test_level_features_tell_levels_apart():
    features = level_features(jnp.linspace(-20.0, 20.0, 400))
    assert features.shape == (400, 32)
    distance = jnp.linalg.norm(features[:, None] - features[None], axis=-1)
    assert float((distance + 10 * jnp.eye(400)).min()) > 0.01


def test_bfloat16_keeps_float32_masters_and_output(rng):
    x = jnp.asarray(rng.random((1, 32, 32, 3)), jnp.float32)
    exact = UNet(channels=3, widths=(8, 16), blocks=(1, 1))
    fast = UNet(channels=3, widths=(8, 16), blocks=(1, 1), dtype=jnp.bfloat16)
    params = fast.init(jax.random.key(0), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    one, other = (apply(net, x)(x) for net in (exact, fast))
    assert other.dtype == jnp.float32
    assert 0 < float(jnp.abs(one - other).max()) < 0.05 * float(jnp.abs(one).max())
