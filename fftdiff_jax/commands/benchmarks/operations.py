"""Counts the floating-point operations of a traced function, by hand.

XLA's own count leaves out what it hands to libraries (cuBLAS and cuDNN on GPUs). This one sees
every convolution and matrix product of the program as it was written, and nothing else, so the two
check each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from jax.extend import core


def count_products(jaxpr: core.ClosedJaxpr) -> float:
    """Operations (a multiplication and an addition count 2) of all convolutions and products.

    A scan counts its body once a turn; of a `cond` the dearest branch counts. The body of a
    `while`, whose number of turns is unknown, counts once.
    """
    return _count(jaxpr.jaxpr)


def _count(jaxpr: Any) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name == "dot_general":
            total += _dot(equation)
        elif name == "conv_general_dilated":
            total += _convolution(equation)
        elif name == "cond":
            total += max(_count(branch.jaxpr) for branch in equation.params["branches"])
        else:
            turns = equation.params["length"] if name == "scan" else 1
            devices = equation.params["mesh"].size if name == "shard_map" else 1
            total += turns * devices * sum(_count(inner) for inner in _inner(equation.params))
    return total


def _inner(parameters: dict[str, Any]) -> Iterator[Any]:
    for value in parameters.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if hasattr(item, "eqns"):
                yield item
            elif hasattr(item, "jaxpr") and hasattr(item.jaxpr, "eqns"):
                yield item.jaxpr


def _dot(equation: Any) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left, output = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    return 2.0 * math.prod(output) * math.prod(left[axis] for axis in contracted)


def _convolution(equation: Any) -> float:
    kernel, output = equation.invars[1].aval.shape, equation.outvars[0].aval.shape
    layout = equation.params["dimension_numbers"].rhs_spec  # (output, input, *space)
    each = math.prod(kernel) / kernel[layout[0]]
    # Between the pixels of a dilated picture stand zeros, which cost nothing.
    return 2.0 * math.prod(output) * each / math.prod(equation.params["lhs_dilation"])
