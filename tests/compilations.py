"""Counts the programs that JAX compiles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax

_EVENT = "/jax/core/compile/backend_compile_duration"
_compiled = [0]


def _listen(event: str, duration: float, **unused: object) -> None:
    if event == _EVENT:
        _compiled[0] += 1


jax.monitoring.register_event_duration_secs_listener(_listen)


class Count:
    """How many programs a block compiled; 0 until it ends."""

    programs = 0


@contextmanager
def counted() -> Iterator[Count]:
    """Counts what the block compiles, in all threads."""
    count, before = Count(), _compiled[0]
    yield count
    count.programs = _compiled[0] - before
