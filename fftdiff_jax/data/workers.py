"""Loader processes that obey their parent alone, and never outlive it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing import resource_tracker
from typing import Any, TypeVar

_Result = TypeVar("_Result")


def without_signals(start: Callable[[], _Result]) -> _Result:
    """Calls what starts processes, which then never see the signals that tell training to save.

    A scheduler sends them to every process of a job. They are blocked while the processes start,
    since a blocked signal stays pending here and a new process (and a new thread) inherits the
    block. Python's own resource tracker is started first: starting it ends a block.
    """
    if not hasattr(signal, "pthread_sigmask"):
        return start()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _worker_signals())
    try:
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, _worker_signals())
        return start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_worker(index: int = 0, count: int = 1) -> None:
    """Runs first in every worker process: training alone answers signals and ends workers."""
    del index, count
    for number in _worker_signals():
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _worker_signals() -> list[signal.Signals]:
    names = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)
