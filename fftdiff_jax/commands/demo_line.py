"""The line in which visitors wait: one of them is worked for at a time, and each can stop it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from concurrent import futures
from typing import NamedTuple, TypeVar

from fftdiff_jax.errors import UserError
from fftdiff_jax.restore.tiling import Tiles
from fftdiff_jax.words import counted

Found = TypeVar("Found")

_LOOK = 0.4  # seconds between two looks at how far the work is


class Stopped(Exception):
    """Its visitor has pressed Stop, or has left the page."""


class Progress(NamedTuple):
    """How far some work is: in words, and as a share from 0 to 1 where that is known."""

    words: str
    share: float | None = None


class Task:
    """Work that is waiting or going on. Whatever it tells ends it once it is stopped."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` tells seconds."""
        self._clock, self._stopped = clock, threading.Event()
        self._first = 0.0, 0  # when the first tiles were done, and how many: they compile
        self._name = ""
        self.progress = Progress("starting")

    def stop(self) -> None:
        """The work ends at its next tile, with `Stopped`."""
        self._stopped.set()

    def say(self, words: str) -> None:
        """Says what comes next; it is what tiles are then tiles of.

        Raises:
          Stopped: by its visitor.
        """
        if self._stopped.is_set():
            raise Stopped
        self._name, self.progress = words, Progress(words)

    def tiles(self, seen: Tiles) -> None:
        """So many tiles are done: what `Restorer.watched` takes.

        Raises:
          Stopped: by its visitor; the restoration ends with it.
        """
        if self._stopped.is_set():
            raise Stopped
        now = self._clock()
        if seen.done == 0:
            self._first = 0.0, 0
        elif not self._first[1]:
            self._first = now, seen.done
        began, before = self._first
        left = ""
        if seen.done > before:
            seconds = (now - began) / (seen.done - before) * (seen.total - seen.done)
            left = f", {_about(seconds)} left"
        words = f"{self._name}: tile {seen.done} of {seen.total}{left}"
        self.progress = Progress(words, seen.done / seen.total)


class Line:
    """Tasks, each under the key of its visitor, who has one at most."""

    def __init__(self, most: int) -> None:
        """At most so many may wait or be worked on."""
        self._most = most
        self._tasks: dict[str, Task] = {}
        self._lock = threading.Lock()
        self._worker = futures.ThreadPoolExecutor(1, "restoring")

    def run(self, key: str, work: Callable[[Task], Found]) -> Generator[Progress, None, Found]:
        """Yields how far `work` is, until it is done; closed early, it stops the work.

        Raises:
          Stopped: by its visitor.
          UserError: the visitor has a task already, or too many wait; and what `work` raises.
        """
        task = Task()
        with self._lock:
            if key in self._tasks:
                raise UserError("your last photos are still worked on; press Stop first, or wait")
            if len(self._tasks) >= self._most:
                raise UserError(f"{self._most} visitors wait already; try again in a minute")
            self._tasks[key] = task
        job = self._worker.submit(self._begin, task, work)
        try:
            while not futures.wait([job], _LOOK).done:
                before = list(self._tasks).index(key)
                words = f"in line: {counted(before, 'visitor')} before you"
                yield Progress(words) if before else task.progress
            return job.result()
        finally:
            task.stop()
            job.cancel()
            # What it raised holds this frame; a frame that held it would keep the photo, too.
            del job
            with self._lock:
                del self._tasks[key]

    def stop(self, key: str) -> None:
        """Stops what a visitor has asked for, if there is anything."""
        with self._lock:
            task = self._tasks.get(key)
        if task is not None:
            task.stop()

    def close(self) -> None:
        """Stops all that is going on or waits."""
        with self._lock:
            for task in self._tasks.values():
                task.stop()
        self._worker.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    def _begin(task: Task, work: Callable[[Task], Found]) -> Found:
        task.say("starting")  # it may have been stopped in the line
        return work(task)


def _about(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(round(seconds), 1)} s"
    return f"about {round(seconds / 60)} min"
