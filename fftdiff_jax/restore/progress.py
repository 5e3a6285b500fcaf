"""Progress bars whose time left counts from the first unit of work on, since that one compiles.

They are drawn by tqdm on standard error.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from tqdm import tqdm

from fftdiff_jax.restore.tiling import Tiles

PATIENCE = 1.0  # seconds after which one photo of several has a bar of its own


class PacedBar(tqdm):
    """A bar whose rate, and so the time left, is that of all units but the first."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, **options: Any) -> None:
        """`options` are tqdm's; `clock` tells seconds."""
        self._clock = clock
        self._first: tuple[float, int] | None = None  # when it was done, and how many are since
        super().__init__(**options)

    def update(self, n: float | None = 1) -> bool | None:
        """Adds so many units that are done."""
        if self._first is None and n and not self.disable:
            self._first = self._clock(), int(self.n + n)
        return super().update(n)

    @property
    def format_dict(self) -> dict[str, Any]:
        """What the bar's text is made of; a rate of 0 is written as a question mark."""
        found = super().format_dict
        since, done = self._first or (0.0, self.n)
        found["rate"] = (self.n - done) / max(self._clock() - since, 1e-9)
        return found


class PhotoBars:
    """A bar over photos, and one over the tiles (or frames) of each that takes a while; a context.

    A single photo has the latter alone. `tiles` is what `Restorer.watched` takes.
    """

    def __init__(self, photos: int, *, shown: bool) -> None:
        """Shows a line at once, for what follows takes seconds to start.

        Args:
          photos: how many there are.
          shown: draw bars where standard error is a terminal.
        """
        # None: not where nobody looks.
        self._options: dict[str, Any] = {"disable": None if shown else True, "dynamic_ncols": True}
        self._name = self._video = ""
        self._tiles: PacedBar | None = None
        self._photos: PacedBar | None = None
        if photos > 1:
            self._photos = PacedBar(total=photos, unit=" photo", **self._options)
        else:
            self._tiles = self._tile_bar("starting", None)

    def __enter__(self) -> PhotoBars:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leaves the last line of the bars as it is."""
        for bar in (self._tiles, self._photos):
            if bar is not None:
                bar.close()

    def begin(self, name: str) -> None:
        """A photo of this name comes next."""
        self._name, self._video = name, ""

    def tiles(self, seen: Tiles) -> None:
        """So many tiles of the photo are done."""
        if self._tiles is None or seen.done == 0:
            self._close_tiles()
            what = f"{self._name}, {seen.megapixels:.1f} megapixels"
            self._tiles = self._tile_bar(what, seen.total)
        self._tiles.update(seen.done - self._tiles.n)

    def frames(self, done: int, total: int) -> None:
        """So many frames of the video are done."""
        if self._tiles is None or self._video != self._name:
            self._video = self._name
            self._close_tiles()
            self._tiles = self._tile_bar(self._name, total, " frame", initial=done)
        self._tiles.update(done - self._tiles.n)

    def end(self) -> None:
        """The photo is done, or refused."""
        if self._photos is not None:
            self._close_tiles()
            self._photos.update()

    def _close_tiles(self) -> None:
        if self._tiles is not None:
            self._tiles.leave = self._photos is None and bool(self._tiles.n)
            self._tiles.close()
            self._tiles = None

    def _tile_bar(
        self, what: str, count: int | None, unit: str = " tile", initial: int = 0
    ) -> PacedBar:
        several = self._photos is not None
        return PacedBar(
            desc=what,
            total=count,
            initial=initial,
            unit=unit,
            delay=PATIENCE if several else 0,
            position=int(several),
            leave=not several,
            **self._options,
        )
