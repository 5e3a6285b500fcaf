"""Convolutions whose gradients are fast on CPUs too.

XLA computes the gradient of a kernel as one convolution with a window as large as the picture,
which on CPUs runs at a fifth of the speed of a matrix product. Here it is a sum of products over
strips of rows that stay in the cache, as of patches (im2col; Chellapilla, Puri and Simard 2006).
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

STRIP_PIXELS = 320  # pixels a strip has at most: nine times its features fit a core's cache


class Conv(nn.Module):
    """A convolution of any odd kernel side that keeps height and width, with zeros around.

    Its parameters are those of `flax.linen.Conv`: "kernel" and "bias".

    Attributes:
      features: channels of the output.
      side: of the kernel.
      dtype: that it computes in; parameters are float32.
      kernel_init: of the kernel; the bias starts at 0.
    """

    features: int
    side: int
    dtype: jnp.dtype = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
        """Convolves the features x."""
        shape = (self.side, self.side, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, kernel, bias = (array.astype(self.dtype) for array in (x, kernel, bias))
        if self.side == 1:
            return x @ kernel[0, 0] + bias
        return convolve(x, kernel) + bias


def _convolution(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k c d"]
) -> Float[Array, "b h w d"]:
    return lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@jax.custom_vjp
def convolve(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k c d"]
) -> Float[Array, "b h w d"]:
    """The convolution of x with a kernel of odd side, zeros around: as large as x."""
    return _convolution(x, kernel)


def _forward(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k c d"]
) -> tuple[Float[Array, "b h w d"], tuple[Array, Array]]:
    return convolve(x, kernel), (x, kernel)


def _backward(
    saved: tuple[Array, Array], gradient: Float[Array, "b h w d"]
) -> tuple[Float[Array, "b h w c"], Float[Array, "k k c d"]]:
    x, kernel = saved
    turned = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
    of_kernel = lax.platform_dependent(x, kernel, gradient, cpu=_by_strips, default=_by_xla)
    return convolve(gradient, turned), of_kernel


convolve.defvjp(_forward, _backward)


def _by_xla(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k c d"], gradient: Float[Array, "b h w d"]
) -> Float[Array, "k k c d"]:
    """The gradient of the kernel, whose values it does not depend on, as XLA has it."""
    (of_kernel,) = jax.linear_transpose(lambda k: _convolution(x, k), kernel)(gradient)
    return of_kernel


def _by_strips(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k k c d"], gradient: Float[Array, "b h w d"]
) -> Float[Array, "k k c d"]:
    """The same as a sum of gradient^T patches over strips, each some whole rows of one picture."""
    side, _, channels, features = kernel.shape
    count, height, width, _ = x.shape
    margin, rows = side // 2, _strip_rows(height, width)
    strips = -(-height // rows)
    below = strips * rows - height  # rows of zeros that fill the last strip
    x = jnp.pad(x, ((0, 0), (margin, margin + below), (margin, margin), (0, 0)))
    gradient = jnp.pad(gradient, ((0, 0), (0, below), (0, 0), (0, 0)))

    def add_strip(total: Float[Array, "d n"], number: Array) -> tuple[Array, None]:
        begin = (number // strips, number % strips * rows, 0, 0)
        seen = lax.dynamic_slice(x, begin, (1, rows + 2 * margin, width + 2 * margin, channels))[0]
        patches = jnp.concatenate(
            [seen[i : i + rows, j : j + width] for i in range(side) for j in range(side)], axis=-1
        ).reshape(rows * width, -1)
        there = lax.dynamic_slice(gradient, begin, (1, rows, width, features))
        there = there.reshape(rows * width, features)
        # In float32 whatever the features are in: it is a sum of many.
        return total + jnp.matmul(there.T, patches, preferred_element_type=jnp.float32), None

    zeros = jnp.zeros((features, side * side * channels), jnp.float32)
    total, _ = lax.scan(add_strip, zeros, jnp.arange(count * strips))
    return total.T.reshape(kernel.shape).astype(kernel.dtype)


def _strip_rows(height: int, width: int) -> int:
    """Rows of a strip: such that strips fill the picture, where that does not make them thin."""
    most = min(height, max(1, STRIP_PIXELS // width))
    whole = max(rows for rows in range(1, most + 1) if height % rows == 0)
    return whole if 2 * whole >= most else most
