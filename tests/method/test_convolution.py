"""Convolutions and their gradients are those of Flax and XLA."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from fftdiff_jax.method.convolution import STRIP_PIXELS, Conv, convolve


def by_xla(x, kernel):
    return lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def both(x, kernel, gradient):
    """(result, gradient of x, gradient of the kernel) of `convolve` and of XLA's convolution."""
    answers = []
    for function in (convolve, by_xla):
        y, transposed = jax.vjp(function, x, kernel)
        answers.append((y, *transposed(gradient)))
    return answers


@settings(max_examples=12, deadline=None)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    side=st.sampled_from([3, 5]),
    seed=st.integers(0, 99),
)
def test_gradients_are_xlas(height, width, side, seed):
    keys = jax.random.split(jax.random.key(seed), 3)
    x = jax.random.normal(keys[0], (2, height, width, 3))
    kernel = jax.random.normal(keys[1], (side, side, 3, 4))
    gradient = jax.random.normal(keys[2], (2, height, width, 4))
    ours, theirs = both(x, kernel, gradient)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("height", "width"), [(24, STRIP_PIXELS // 4), (13, 50), (3, STRIP_PIXELS + 30), (48, 48)]
)
def test_strips_of_several_rows_and_a_last_one_cut_short(height, width):
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (2, height, width, 6))
    kernel = jax.random.normal(keys[1], (3, 3, 6, 5))
    gradient = jax.random.normal(keys[2], (2, height, width, 5))
    ours, theirs = both(x, kernel, gradient)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_in_bfloat16_the_kernels_gradient_is_summed_in_float32():
    """A running sum in bfloat16 stops growing at 256 times its terms."""
    x = jnp.ones((1, 64, 64, 2), jnp.bfloat16)
    _, transposed = jax.vjp(convolve, x, jnp.zeros((3, 3, 2, 2), jnp.bfloat16))
    _, of_kernel = transposed(jnp.ones((1, 64, 64, 2), jnp.bfloat16))
    assert of_kernel.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(of_kernel[1, 1], np.float32), 4096)


@pytest.mark.parametrize("side", [1, 3])
def test_a_layer_is_flaxs_with_the_same_parameters(side):
    x = jax.random.normal(jax.random.key(1), (2, 7, 6, 5))
    ours, theirs = Conv(4, side), nn.Conv(4, (side, side))
    params = theirs.init(jax.random.key(2), x)
    assert jax.tree.structure(ours.init(jax.random.key(3), x)) == jax.tree.structure(params)
    params = jax.tree.map(lambda p: p + 0.1, params)
    np.testing.assert_allclose(ours.apply(params, x), theirs.apply(params, x), atol=1e-5)


def test_a_gpus_gradient_is_left_to_its_library():
    """Lowered for CUDA there is no loop over strips, but a third convolution."""
    shapes = (jax.ShapeDtypeStruct(s, jnp.float32) for s in ((2, 16, 16, 8), (3, 3, 8, 8)))
    gradient = jax.jit(jax.grad(lambda x, k: convolve(x, k).sum(), argnums=(0, 1)))
    text = gradient.trace(*shapes).lower(lowering_platforms=("cuda",)).as_text()
    assert "stablehlo.while" not in text
    assert text.count("stablehlo.convolution") == 2  # its own result is not needed
