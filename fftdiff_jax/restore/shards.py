"""One of several processes that share photos: which it is, and which photos are its own.

Photos are dealt by the sizes of their files: the largest first, to shards 0, 1, ... N-1 and back
from N-1 to 0, as cards are dealt in a snake. The numbers of photos of two shards then differ by one
at most, and their bytes by no more than the largest file has. Nothing is claimed or stolen while
photos are restored: claims must be taken back from processes that died, which file systems of many
machines do not agree on. Where machines differ in speed, more shards than machines do what stealing
would, and the queue of the cluster hands them out.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence

from fftdiff_jax.errors import UserError

MOST = 100_000  # shards


@dataclasses.dataclass(frozen=True)
class Shard:
    """Number `index`, from 0, of `count`."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Reads K/N.

        Raises:
          UserError: it is nothing like that, or K is not from 0 to N-1.
        """
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        index, count = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 0 <= index < count <= MOST:
            raise UserError(
                f"--shard={text[:40]}: expected K/N with K from 0 to N-1, such as 0/64 for the "
                "first of 64"
            )
        return cls(index, count)


def deal(sizes: Sequence[int], count: int) -> list[int]:
    """Says for each photo, by the sizes of their files in bytes, which of `count` shards has it.

    Equal sizes in equal order are dealt equally, wherever it is done.
    """
    ranked = sorted(range(len(sizes)), key=lambda place: -sizes[place])  # stable
    shards = [0] * len(sizes)
    for rank, place in enumerate(ranked):
        row, column = divmod(rank, count)
        shards[place] = count - 1 - column if row % 2 else column
    return shards


def file_size(path: str | os.PathLike[str]) -> int:
    """The bytes of a file; 0 where it cannot be looked at, which is said when its turn comes."""
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):
        return 0
