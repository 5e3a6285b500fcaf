"""Photos of any size as overlapping tiles of a few sizes: where they lie, and how they blend.

A tile is a square of one of `SIDES`, so that a folder of mixed sizes needs so many compiled
programs and no more; a photo takes the side that computes the fewest pixels for it. Tiles agree
where they overlap, for three reasons: they start at multiples of the network's stride, so that the
network's own grid lies the same in all of them; what a tile sees near its border, where its
surroundings are missing, is not used; and all noise belongs to places (`noises.placed_noise`).
Finished rows leave at once: what is held is one row of tiles, whatever the photo's size.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

# (top, rows of several pictures), from top to bottom.
Rows = Iterator[tuple[int, Float[np.ndarray, "n r w c"]]]

SIDES = (128, 192, 384)  # of the square tiles, in pixels
OVERLAP = 40  # pixels that neighbouring tiles share at least
# The same where draws are made. A state's noise is shaped by the spectrum of its whole tile, which
# takes opposite borders for neighbours: a draw is itself only some 40 pixels further in.
DRAW_OVERLAP = 96
FADE = 20  # pixels in the middle of these over which they are blended; the outer ones are not used


class Tiles(NamedTuple):
    """How far a photo is."""

    done: int
    total: int  # over the first estimate and all steps of all draws
    megapixels: float  # of the photo


Watch = Callable[[Tiles], None]


def overlap_of(draws: int) -> int:
    """Pixels that neighbouring tiles share at least, where so many draws are made."""
    return DRAW_OVERLAP if draws else OVERLAP


def choose_side(height: int, width: int, overlap: int = OVERLAP) -> int:
    """The side of the tiles that cover a photo with the fewest pixels; the largest of equals."""

    def pixels(side: int) -> int:
        return tile_count(height, side, overlap) * tile_count(width, side, overlap) * side * side

    return min(sorted(SIDES, reverse=True), key=pixels)


def tile_count(length: int, side: int, overlap: int = OVERLAP) -> int:
    """How many tiles cover `length` pixels in one direction."""
    return 1 + max(0, -(-(length - side) // (side - overlap)))


def padded_length(length: int, side: int, stride: int) -> int:
    """The least length that tiles at multiples of `stride` cover exactly."""
    return max(side, length + -length % stride)


def tile_weights(
    length: int, side: int, stride: int, overlap: int = OVERLAP
) -> dict[int, Float[np.ndarray, " t"]]:
    """Starts of evenly spread tiles that cover `length` pixels, and each one's blending weights.

    The weights of all tiles add up to 1 at every pixel: a raised cosine in the middle of what
    two neighbours share. Tiles may differ a little in tone, since one of them sees more of a bright
    sky: the wider the fade, the less it shows. `length` is a `padded_length`;
    starts are multiples of `stride`.
    """
    # Starts are multiples of the stride, so that is how far apart they can be.
    step = (side - overlap) // stride * stride
    count = 1 + max(0, -(-(length - side) // step))
    last = (length - side) // stride
    starts = [stride * (i * last // max(count - 1, 1)) for i in range(count)]
    places = np.arange(side) + 0.5
    windows = [np.ones(side) for _ in starts]
    for i, (start, following) in enumerate(itertools.pairwise(starts)):
        shared = side - (following - start)
        # Where the fade begins and ends, seen from the second tile.
        rise = np.clip((places - (shared - FADE) / 2) / FADE, 0, 1)
        fade = 0.5 - 0.5 * np.cos(np.pi * rise)
        windows[i + 1] *= fade
        windows[i][following - start :] *= 1 - fade[:shared]
    return {start: window.astype(np.float32) for start, window in zip(starts, windows, strict=True)}


def pad(
    photo: Shaped[np.ndarray, "h w 3"], side: int, stride: int
) -> Shaped[np.ndarray, "h2 w2 3"]:
    """Mirrors a photo at its lower and right border until tiles cover it exactly."""
    rows, columns = (padded_length(n, side, stride) - n for n in photo.shape[:2])
    if rows == columns == 0:
        return photo
    return np.pad(photo, ((0, rows), (0, columns), (0, 0)), mode="symmetric")


class Plan:
    """Where the tiles of one photo lie.

    Attributes:
      side: of the tiles.
      height, width: of the photo once it is padded.
      rows, columns: starts of the tiles, and each one's blending weights.
    """

    def __init__(
        self, height: int, width: int, side: int, stride: int, overlap: int = OVERLAP
    ) -> None:
        """Of a photo of height x width pixels."""
        self.side = side
        self.height, self.width = (padded_length(n, side, stride) for n in (height, width))
        self.rows = tile_weights(self.height, side, stride, overlap)
        self.columns = tile_weights(self.width, side, stride, overlap)


class Blend:
    """Adds up weighted tiles, row of tiles after row of tiles, and gives rows that are complete."""

    def __init__(self, plan: Plan, layers: int, channels: int) -> None:
        """`layers` pictures of a padded photo's size are blended at a time."""
        self._plan = plan
        self._sum = np.zeros((layers, plan.side, plan.width, channels), np.float32)
        self._top = 0

    def add(self, layer: int, row: int, column: int, tile: Float[np.ndarray, "t t c"]) -> Rows:
        """Adds the tile at (row, column); rows of tiles come from top to bottom.

        Yields (top, rows of all layers) where the tile's row says that rows above are complete.
        """
        done = row - self._top
        if done > 0:
            yield self._top, self._sum[:, :done].copy()
            kept = self._sum[:, done:].copy()
            self._sum[:, : kept.shape[1]] = kept
            self._sum[:, kept.shape[1] :] = 0
            self._top = row
        plan = self._plan
        weights = plan.rows[row][:, None, None] * plan.columns[column][None, :, None]
        self._sum[layer, :, column : column + plan.side] += tile * weights

    def finish(self) -> Rows:
        """Yields what is left when all tiles are added."""
        yield self._top, self._sum


def shared(rows: Rows, count: int) -> list[Rows]:
    """The same rows for `count` readers; held until the slowest has read them, and no longer.

    (itertools.tee frees what has been read in blocks of some fifty.)
    """
    waiting: list[collections.deque] = [collections.deque() for _ in range(count)]

    def reader(own: collections.deque) -> Rows:
        while True:
            if not own:
                some = next(rows, None)
                if some is None:
                    return
                for queue in waiting:
                    queue.append(some)
            yield own.popleft()

    return [reader(own) for own in waiting]


def windows(rows: Rows, plan: Plan) -> Iterator[Float[np.ndarray, "n t w c"]]:
    """For each row of tiles all pixels of its rows, as soon as they have come."""
    first, held = next(rows)
    for start in plan.rows:
        held, first = held[:, start - first :], start
        while held.shape[1] < plan.side:
            held = np.concatenate([held, next(rows)[1]], axis=1)
        yield held[:, : plan.side]
