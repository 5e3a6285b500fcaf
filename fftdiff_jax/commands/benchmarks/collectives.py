"""What devices send each other in a compiled program, read from the program's own text."""

from __future__ import annotations

import dataclasses
import re

# `%all-reduce.5 = (f32[3,3]{1,0}, f32[]) all-reduce(%a, %b), ...`: the result has the shapes of the
# operands. `-start` is its first half where it runs beside other work; `-done` sends nothing more.
_ALL_REDUCE = re.compile(r"^\s*(?:ROOT )?%?[\w.-]+ = (.+?) all-reduce(?:-start)?\(", re.MULTILINE)
_ARRAY = re.compile(r"\b([a-z]+[0-9]*(?:e\d+m\d+\w*)?)\[([0-9,]*)\]")
# Bytes of XLA's types whose names do not say how many bits they have.
_BYTES = {"pred": 1.0, "token": 0.0}


@dataclasses.dataclass(frozen=True)
class AllReduce:
    """One sum over all devices."""

    arrays: int
    size: float  # bytes on each device


def all_reduces(text: str) -> tuple[AllReduce, ...]:
    """The all-reduces of a compiled program, in its order.

    Args:
      text: the program in XLA's HLO, as `compiled.as_text()` of JAX gives it.
    """
    found = []
    for shapes in _ALL_REDUCE.findall(text):
        # Indices of long tuples stand in comments: /*index=5*/.
        sizes = [_size(*array) for array in _ARRAY.findall(re.sub(r"/\*.*?\*/", "", shapes))]
        found.append(AllReduce(len(sizes), sum(sizes)))
    return tuple(found)


def _size(kind: str, dimensions: str) -> float:
    count = 1
    for side in filter(None, dimensions.split(",")):
        count *= int(side)
    if kind in _BYTES:
        return count * _BYTES[kind]
    # f32, bf16, s8, u4, f8e4m3fn; of c64 the 64 are both halves.
    bits = re.match(r"[a-z]+(\d+)", kind)
    if not bits:
        raise ValueError(f"{kind}[{dimensions}]: no type of XLA that is known here")
    return count * int(bits[1]) / 8
