"""Photos decoded once: memory-mapped uint8 files, and an in-memory rest for what does not fit.

Decoding a JPEG takes milliseconds, cutting a crop from a memory map microseconds. A cached photo's
file name is a digest of the source's path, size and time, so a source that changes is decoded
again. Files are written under a temporary name and moved into place: processes that build the same
cache at once do the same work twice, and nothing worse. A cache that cannot be written (a full
disk, a read-only folder) costs time and no run.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fftdiff_jax.errors import UserError
from fftdiff_jax.files import replacing

_SUFFIX = ".u8.npy"
# What np.save writes before the bytes of an 8-bit photo (NPY format 1.0), and how long that is.
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '\|u1', 'fortran_order': False, "
    rb"'shape': \((\d+), (\d+), 3\), \} *\n$",
    re.DOTALL,
)
_HEADER_BYTES = 128
_MAX_MAPS = 16_384  # Linux allows a process 65,530 mappings


class PhotoCache:
    """Keeps decoded photos in a folder of limited size.

    The size is shared by all that use the folder: files of other data sets that were not used for
    longest are removed for new ones. It can be pickled: worker processes open the same files.
    """

    def __init__(self, folder: str | os.PathLike[str], gigabytes: float, memory_gigabytes=0.25):
        """Prepares the cache; nothing is read or written yet.

        Args:
          folder: where decoded photos lie.
          gigabytes: the most that they may take there, in 10^9 bytes; 0: none is kept.
          memory_gigabytes: the most that photos which are not in the folder may take in memory.
        """
        self.folder = Path(folder).expanduser().absolute()
        self.limit = int(gigabytes * 1e9)
        self._memory = _RecentPhotos(int(memory_gigabytes * 1e9))
        self._kept: frozenset[str] = frozenset()
        self._maps: dict[str, np.ndarray] = {}

    def plan(self, keys: Sequence[str], sizes: Sequence[tuple[int, int]]) -> None:
        """Chooses, in the order given, the photos (of (height, width)) that fit the limit.

        Removes other files from the folder, those unused for longest first, until the rest fits.
        """
        total, names = 0, {}
        for key, (height, width) in zip(keys, sizes, strict=True):
            name, count = _name(key), height * width * 3 + _HEADER_BYTES
            if name not in names and total + count <= self.limit:
                names[name] = count
                total += count
        self._kept = frozenset(names)
        if total:
            self._make_room(self.limit - total)

    def photo(
        self, key: str, decode: Callable[[], UInt8[np.ndarray, "h w 3"]]
    ) -> UInt8[np.ndarray, "h w 3"]:
        """Returns the photo of `key` (read-only), calling `decode` only when it is not kept."""
        name = _name(key)
        mapped = self._maps.get(name)
        if mapped is None and name in self._kept:
            mapped = self._mapped(name, decode)
        return self._memory.get(name, decode) if mapped is None else mapped

    def _mapped(self, name: str, decode: Callable[[], np.ndarray]) -> np.ndarray | None:
        path = self.folder / name
        mapped = _map(path)
        if mapped is None:
            photo = decode()
            with contextlib.suppress(UserError), replacing(path) as temporary:
                np.save(temporary, np.ascontiguousarray(photo))
            mapped = _map(path)
        else:
            with contextlib.suppress(OSError):
                os.utime(path)  # used now, so the last to be removed
        if mapped is None:  # a full disk or a read-only folder: do not try this photo again
            self._kept -= {name}
            return None
        if len(self._maps) >= _MAX_MAPS:
            self._maps.clear()
        self._maps[name] = mapped
        return mapped

    def _make_room(self, budget: int) -> None:
        others = []
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.folder):
                with contextlib.suppress(OSError):
                    status = entry.stat()
                    if entry.name.endswith(_SUFFIX) and entry.name not in self._kept:
                        others.append((status.st_mtime, status.st_size, entry.path))
                    elif entry.name.startswith(".") and status.st_mtime < time.time() - 3600:
                        os.unlink(entry.path)  # left by a process that was killed while writing
        used = sum(size for _, size, _ in others)
        for _, size, path in sorted(others):
            if used <= budget:
                break
            # A process that has it mapped keeps it; one that has not decodes it again.
            with contextlib.suppress(OSError):
                os.unlink(path)
            used -= size

    def __getstate__(self) -> dict:
        state = self.__dict__.copy()
        state["_maps"] = {}
        return state


class _RecentPhotos:
    """The photos used last, within a number of bytes; safe to share between threads."""

    def __init__(self, limit: int):
        self._limit = limit
        self._photos: collections.OrderedDict[str, np.ndarray] = collections.OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, name: str, decode: Callable[[], np.ndarray]) -> np.ndarray:
        with self._lock:
            if name in self._photos:
                self._photos.move_to_end(name)
                return self._photos[name]
        photo = decode()
        photo.setflags(write=False)
        with self._lock:
            if name not in self._photos and photo.nbytes <= self._limit:
                self._photos[name] = photo
                self._bytes += photo.nbytes
            while self._bytes > self._limit:
                self._bytes -= self._photos.popitem(last=False)[1].nbytes
        return photo

    def __getstate__(self) -> dict:
        return {"limit": self._limit}

    def __setstate__(self, state: dict) -> None:
        self.__init__(state["limit"])  # type: ignore[misc]


def _map(path: Path) -> np.ndarray | None:
    """Opens a decoded photo, or returns None where it is missing or not whole.

    np.load evaluates the header as Python source, which Python 3.11 cannot do in several threads at
    once (a SystemError now and then); here it is matched.
    """
    try:
        with open(path, "rb") as file:
            header = _HEADER.match(file.read(_HEADER_BYTES))
        if header is None:
            return None
        shape = (int(header[1]), int(header[2]), 3)
        if os.stat(path).st_size != _HEADER_BYTES + shape[0] * shape[1] * 3:
            return None
        return np.memmap(path, np.uint8, "r", offset=_HEADER_BYTES, shape=shape)
    except (OSError, ValueError):
        return None


def file_key(path: str | os.PathLike[str]) -> str:
    """Names a version of a file: its path, size and time of change.

    Raises:
      UserError: the file is missing or cannot be looked at.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    return f"{os.path.abspath(path)}|{status.st_size}|{status.st_mtime_ns}"


def _name(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:32] + _SUFFIX
