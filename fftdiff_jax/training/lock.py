"""One trainer a run's folder: a lock that ends with its process, and a name that says whose it is.

Where the file system has locks (local ones, NFS, GPFS, Lustre mounted with flock) a second trainer
is refused before it reads or writes anything. The kernel or the file server takes the lock back
when the process ends, however it ends. Where there are no locks, or they hold on one machine alone,
the last one to come puts its name into the file, and the one before notices before it next saves.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fftdiff_jax.errors import UserError
from fftdiff_jax.training.cluster import processes

FILE = "trainer.lock"
# A file server gives the lock of a machine that was lost back after so long (NFS: 90 seconds).
PATIENCE = 120
_BUSY = (errno.EACCES, errno.EAGAIN)
_LONGEST_NAME = 200  # bytes of the file

IsHeld = Callable[[], bool]

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def alone_in(workdir: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[IsHeld]:
    """Takes a run's folder for all processes of this run; `UserError` in each where it is taken.

    Yields what tells whether the folder is still theirs, to be asked by all of them alike. The
    arguments are those of `TrainerLock`, which process 0 alone holds.
    """
    lock = processes.first_does(lambda: TrainerLock(workdir, waiting))
    try:
        yield lambda: processes.all_agree(lock is None or lock.is_held())
    finally:
        if lock is not None:
            lock.close()


class TrainerLock:
    """Holds a run's folder until `close`, or until this process is no more."""

    def __init__(self, workdir: Path, waiting: Callable[[], None] = lambda: None) -> None:
        """Takes the folder, which must exist.

        Args:
          workdir: the run's folder.
          waiting: called every second while another machine's lock is waited for; it may raise.

        Raises:
          UserError: another trainer has it, on this machine, or on another one for `PATIENCE`
            seconds; or the file cannot be written.
        """
        self._path = workdir / FILE
        self._name = f"process {os.getpid()} on {socket.gethostname()[:64]} {secrets.token_hex(4)}"
        try:
            # Not through a link: what it leads to would be written over.
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            self._file = os.open(self._path, flags, 0o666)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            self._take(waiting)
            os.pwrite(self._file, self._name.encode().ljust(_LONGEST_NAME), 0)
        except OSError as error:
            self.close()
            raise self._unwritable(error) from error
        except BaseException:
            self.close()
            raise

    def is_held(self) -> bool:
        """Whether nobody else has taken the folder meanwhile; a look at a small file."""
        try:
            return self._read() == self._name
        except OSError:
            return True  # what is wrong with the folder is said when something is written there

    def holder(self) -> str:
        """Who has the folder."""
        try:
            return self._read().rpartition(" ")[0] or "an unknown process"
        except OSError:
            return "an unknown process"

    def close(self) -> None:
        """Gives the folder back."""
        os.close(self._file)

    def _take(self, waiting: Callable[[], None]) -> None:
        end = time.monotonic() + PATIENCE
        said = False
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError as error:
                if error.errno not in _BUSY:
                    return  # no locks here: the name in the file has to do
            holder = self.holder()
            elsewhere = not holder.endswith(f" on {socket.gethostname()[:64]}")
            if not elsewhere or time.monotonic() > end:
                raise UserError(
                    f"{self._path.parent}: is being trained in by {holder}; wait for its end, or "
                    "choose another --workdir"
                )
            if not said:
                _log.warning("%s is held by %s; waiting for %d s", self._path, holder, PATIENCE)
                said = True
            waiting()
            time.sleep(1)

    def _read(self) -> str:
        # By its name: where locks are missing, another machine may have made the file anew.
        with open(self._path, "rb") as file:
            text = file.read(_LONGEST_NAME).decode(errors="replace").strip()
        return "".join(filter(str.isprintable, text))

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(
            f"{self._path}: cannot be written ({error.strerror}); free some space or choose "
            "another --workdir"
        )
