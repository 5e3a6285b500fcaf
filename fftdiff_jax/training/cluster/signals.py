"""Signals that ask a run to save and end: heard at any time, obeyed between two steps.

A handler only notes the signal, so that it may come while something compiles, validates or saves.
Imports nothing heavy: an entry point listens before it imports JAX.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

GO_ON = (
    75  # exit code (EX_TEMPFAIL): all is saved, the same command goes on; launch_gpu.sh requeues
)
BY_HAND = 130  # exit code of Ctrl-C: all is saved, nobody has asked for a requeue

# Stop signals; of several, and of several processes, the highest counts.
NO_SIGNAL, TERMINATE, CTRL_C = 0, 1, 2

_CODES = {TERMINATE: GO_ON, CTRL_C: BY_HAND}


class Interrupted(BaseException):
    """A run ended because it was asked to.

    Like KeyboardInterrupt it is no Exception: nothing on its way that catches those may keep it.

    Attributes:
      code: the exit code that the program ends with.
    """

    def __init__(self, stop_signal: int, message: str):
        super().__init__(message)
        self.code = _CODES[stop_signal]


class StopSignals:
    """Hears SIGTERM, SIGUSR1 and Ctrl-C from `__enter__` to `__exit__`; a context manager.

    `message` gets one line for each signal; it is called from a signal handler.

    Attributes:
      received: the highest of NO_SIGNAL, TERMINATE (SIGTERM, SIGUSR1) and CTRL_C so far.
    """

    def __init__(self, message: Callable[[str], None] = lambda line: None) -> None:
        self._show = message
        self.received = NO_SIGNAL
        self._before: dict[int, Any] = {}
        self._raises = False

    def __enter__(self) -> StopSignals:
        # Python lets only the main thread listen; elsewhere (a notebook's worker) nothing is heard.
        if threading.current_thread() is threading.main_thread():
            for number in _numbers():
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *unused: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def ignore(self) -> None:
        """Ignores signals from now on, after `__exit__` too: all is saved, and the end is near.

        Of several processes one ends first, and srun then sends SIGTERM to the others.
        """
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)
        self._before = {}

    def check(self, message: str) -> None:
        """Raises `Interrupted` if a signal came; for where nothing is to be saved."""
        if self.received:
            raise Interrupted(self.received, message)

    @contextlib.contextmanager
    def at_once(self, message: str) -> Iterator[None]:
        """Within, a signal raises `Interrupted` where it comes: nothing there must be finished."""
        self.check(message)
        self._message, self._raises = message, True
        try:
            yield
        finally:
            self._raises = False

    def _hear(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGINT and self.received == CTRL_C:
            raise KeyboardInterrupt  # the second Ctrl-C: not even saving is wanted
        self.received = max(self.received, CTRL_C if number == signal.SIGINT else TERMINATE)
        if self._raises:
            self.check(self._message)
        again = "; again: stop without saving" if number == signal.SIGINT else ""
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            # RuntimeError: the signal came in the middle of another print.
            self._show(f"{signal.Signals(number).name}: saving after this step, then ending{again}")


def _numbers() -> list[int]:
    return [getattr(signal, n) for n in ("SIGTERM", "SIGUSR1", "SIGINT") if hasattr(signal, n)]
