"""What a field of the configuration may be: declared beside its type, and checked by one function.

steps: Annotated[int, Range(1, 1000)] = 1
widths: Annotated[tuple[Annotated[int, Range(1, 4096)], ...], Lengths(range(1, 7))] = (32, 64)
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import operator
import reprlib
import typing
from collections.abc import Collection
from typing import Any, Literal

from fftdiff_jax.errors import UserError

LONGEST_TEXT = 4096  # characters of a field that is a text: the longest path on Linux


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers from `least` to `most`; `above` and `below`: without the end itself."""

    least: float
    most: float
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        """Nothing that is not finite lies in a range."""
        above = value > self.least if self.above else value >= self.least
        return above and (value < self.most if self.below else value <= self.most)

    def __str__(self) -> str:
        least = f"{'above' if self.above else 'from'} {self.least:,}"
        return f"{least} {'and below' if self.below else 'to'} {self.most:,}"


@dataclasses.dataclass(frozen=True)
class Lengths:
    """How many items a list may have."""

    allowed: Collection[int]

    def __str__(self) -> str:
        if isinstance(self.allowed, range):
            return f"{min(self.allowed)} to {max(self.allowed)}"
        return " or ".join(map(str, self.allowed))


def read(value: Any, kind: Any, path: str) -> Any:
    """The value of a field: lists as tuples, whole numbers as floats where the field says so.

    Args:
      value: as it was written, in Python or in JSON.
      kind: the field's type: str, bool, int, float, a Literal, a tuple of one of these, or one of
        them annotated with a `Range` or `Lengths`.
      path: names the field in messages.

    Raises:
      UserError: the value is of another type, not finite, or out of its range.
    """
    limits: tuple[Any, ...] = ()
    if typing.get_origin(kind) is typing.Annotated:
        kind, *extras = typing.get_args(kind)
        limits = tuple(extras)
    found = _typed(value, kind, path)
    for limit in limits:
        if isinstance(limit, Range) and found not in limit:
            raise UserError(f"{path} is {shown(found)}; it must be {limit}")
        if isinstance(limit, Lengths) and len(found) not in limit.allowed:
            raise UserError(f"{path} has {len(found)} numbers; it takes {limit}")
    return found


def shown(value: Any) -> str:
    """A value in a message: on one line, and short however large or deep it is."""
    try:
        return reprlib.repr(value)
    except ValueError:  # a whole number of more digits than Python prints
        return f"a {type(value).__name__} that is too large"


def _typed(value: Any, kind: Any, path: str) -> Any:
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        if not isinstance(value, str) or value not in choices:
            raise UserError(f"{path}: {shown(value)} is not a choice; known: {', '.join(choices)}")
        return value
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, (list, tuple)):
            raise UserError(f"{path}: expected a list like (32, 64), found {shown(value)}")
        (item, _) = typing.get_args(kind)
        return tuple(read(one, item, f"{path}[{i}]") for i, one in enumerate(value))
    if kind in (int, float):
        number = None if isinstance(value, bool) else _number(value, kind, path)
        if number is not None:
            return number
    elif isinstance(value, kind):
        if kind is str and (len(value) > LONGEST_TEXT or "\0" in value):
            raise UserError(f"{path}: {shown(value)} is no name of a file; it is too long")
        return value
    raise UserError(f"{path}: expected {kind.__name__}, found {shown(value)}")


def _number(value: Any, kind: type, path: str) -> int | float | None:
    """The number, or None where it is none of this kind; NumPy's count as Python's own."""
    if kind is int:
        return operator.index(value) if isinstance(value, numbers.Integral) else None
    if not isinstance(value, numbers.Real):
        return None
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UserError(f"{path} is {shown(value)}; it must be a finite number")
    return number
