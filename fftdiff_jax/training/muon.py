"""Muon: momentum whose matrices are made orthogonal (Jordan et al. 2024).

AdamW scales every number of a gradient by itself. Muon looks at a kernel as the matrix that it is,
M (inputs, outputs), a 3x3 convolution's nine taps being inputs like any other, and takes the
nearest matrix with orthogonal columns, M (M^T M)^(-1/2), as the step: rare directions, in which a
gradient is small, are learnt as fast as common ones.

The inverse root comes from Newton and Schulz's iteration, X <- X (a + b X^T X + c (X^T X)^2), with
Jordan's coefficients. All of its factors are polynomials of the one small matrix G = M^T M, so only
G is iterated, and M is multiplied once at the end: a kernel of 9 n inputs and n outputs costs less
than half of what the iteration on M itself costs.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

# They bring singular values between 0.002 and 1 to 1 within a third, in five rounds.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ROUNDS = 5


class MuonState(NamedTuple):
    """What Muon remembers."""

    momentum: PyTree  # running mean of the gradients


def orthogonal(matrix: Float[Array, "m n"]) -> Float[Array, "m n"]:
    """About the nearest matrix whose shorter side's vectors are orthonormal; 0 stays 0."""
    if matrix.shape[0] < matrix.shape[1]:
        return orthogonal(matrix.T).T
    a, b, c = COEFFICIENTS
    matrix = matrix / jnp.maximum(jnp.linalg.norm(matrix), 1e-12)
    one = jnp.eye(matrix.shape[1], dtype=matrix.dtype)
    gram = matrix.T @ matrix
    product = one
    for number in range(ROUNDS):
        factor = a * one + b * gram + c * (gram @ gram)
        product = product @ factor if number else factor
        if number < ROUNDS - 1:
            gram = gram @ factor @ factor
            gram = (gram + gram.T) / 2  # rounding makes it less and less symmetric
    return matrix @ product


def scale_by_muon(beta: float = 0.95) -> optax.GradientTransformation:
    """Turns gradients of kernels (.., inputs, outputs) into orthogonal steps of unit size.

    Wide matrices are scaled up by sqrt(outputs / inputs), so that what a layer says changes alike
    whatever its shape.

    Args:
      beta: share of the momentum that a step keeps; the step looks ahead by it once more
        (Nesterov).
    """

    def init(params: PyTree) -> MuonState:
        return MuonState(jax.tree.map(jnp.zeros_like, params))

    def update(
        gradients: PyTree, state: MuonState, params: PyTree | None = None
    ) -> tuple[PyTree, MuonState]:
        del params
        momentum = jax.tree.map(lambda m, g: beta * m + (1 - beta) * g, state.momentum, gradients)
        ahead = jax.tree.map(lambda m, g: beta * m + (1 - beta) * g, momentum, gradients)
        return jax.tree.map(_step, ahead), MuonState(momentum)

    return optax.GradientTransformation(init, update)


def _step(kernel: Float[Array, "*k i o"]) -> Float[Array, "*k i o"]:
    matrix = kernel.reshape(-1, kernel.shape[-1])
    inputs, outputs = matrix.shape
    return orthogonal(matrix).reshape(kernel.shape) * max(1.0, outputs / inputs) ** 0.5
