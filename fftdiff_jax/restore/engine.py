"""Draws photos of any size, tile by tile, row by row.

Every photo is cut into overlapping tiles of a few sizes (tiling.py), which go through the method in
batches of one size (tile_programs.py), and are blended. Tiles are blended after every step, and the
next one cuts them anew from the blended photo, so that all tiles of a draw agree. Steps are
chained: each takes up the rows that the one before has completed, so that what is held is a row of
tiles for each step and draw, whatever the photo's height. Two compiled programs for each of the
three sizes of tiles serve all photos and any number of steps.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, PyTree, Shaped

from fftdiff_jax.config import SamplingConfig
from fftdiff_jax.errors import UserError
from fftdiff_jax.method import samplers
from fftdiff_jax.method.method import Method
from fftdiff_jax.pixels import to_unit
from fftdiff_jax.restore import tile_programs, tiling
from fftdiff_jax.restore.tile_programs import Carry
from fftdiff_jax.restore.tiling import Rows, Tiles, Watch

# Tiles that a device holds at a time. A CPU computes one no slower than several, and a batch of one
# is never filled up with tiles that nobody wants; other devices idle on one.
TILES_AT_ONCE = {"cpu": 1}
TILES_AT_ONCE_ELSEWHERE = 8

CARRY_CHANNELS = 6  # of what is blended between two steps: estimate and noise


class Strip(NamedTuple):
    """Rows of a restored photo, in [0, 1]."""

    top: int
    first: Float[np.ndarray, "r w 3"] | None  # the first estimate, where the method has one
    draws: Float[np.ndarray, "n r w 3"]

    @property
    def mean(self) -> Float[np.ndarray, "r w 3"]:
        """Of the draws; without any, the first estimate."""
        return self.draws.mean(axis=0) if len(self.draws) else self.best

    @property
    def best(self) -> Float[np.ndarray, "r w 3"]:
        """The first estimate; where there is none, the mean of the draws."""
        return self.draws.mean(axis=0) if self.first is None else self.first

    @property
    def rows(self) -> slice:
        """Where they lie in the photo."""
        return slice(self.top, self.top + self.draws.shape[1])

    def cut(self, rows: int, columns: int) -> Strip:
        """Without what was padded, and clipped."""

        def inner(photo: np.ndarray) -> np.ndarray:
            return np.clip(photo[..., :rows, :columns, :], 0.0, 1.0)

        first = None if self.first is None else inner(self.first)
        return Strip(self.top, first, inner(self.draws))


class Engine:
    """The compiled programs of one set of weights, and how they are led over photos."""

    def __init__(self, method: Method, params: PyTree, sampling: SamplingConfig) -> None:
        """Compiles nothing yet."""
        self.method, self._params, self._sampling = method, params, sampling
        devices = jax.local_devices()
        self._devices = len(devices)
        self.tiles_at_once = TILES_AT_ONCE.get(devices[0].platform, TILES_AT_ONCE_ELSEWHERE)
        self._compiled: dict[tuple[str, int], Callable[..., Any]] = {}

    def strips(
        self,
        photo: Shaped[np.ndarray, "h w 3"],
        draws: Sequence[int],
        steps: int,
        seed: int,
        watch: Watch = lambda tiles: None,
    ) -> Iterator[Strip]:
        """Yields strips of the restored photo, from top to bottom.

        Args:
          photo: the rainy photo, of any size: uint8, uint16, or float32 in [0, 1].
          draws: their numbers; a draw does not depend on which others are asked for.
          steps: network evaluations a draw, at least 1.
          seed: of the noise.
          watch: called once before the first tile, and after every batch of tiles.

        Raises:
          UserError: what the network makes of the photo is not finite.
        """
        height, width = photo.shape[:2]
        overlap = tiling.overlap_of(len(draws))
        side = tiling.choose_side(height, width, overlap)
        plan = tiling.Plan(height, width, side, self.method.stride, overlap)
        padded = tiling.pad(photo, side, self.method.stride)
        passes = len(draws) if self.method.first is None else 1 + len(draws) * steps
        count = _counter(watch, passes * len(plan.rows) * len(plan.columns), height * width)
        if self.method.first is None:
            strips = self._whole_draws(padded, plan, draws, steps, seed, count)
        else:
            strips = self._step_by_step(padded, plan, draws, steps, seed, count)
        for strip in strips:
            # Before the clip, which would make white of an infinity.
            if not (np.isfinite(strip.best).all() and np.isfinite(strip.draws).all()):
                raise UserError(
                    "the restored photo is not finite; these weights or this way of sampling "
                    "cannot be used"
                )
            if strip.top < height:
                yield strip.cut(height - strip.top, width)

    def _step_by_step(
        self,
        photo: Shaped[np.ndarray, "h w 3"],
        plan: tiling.Plan,
        draws: Sequence[int],
        steps: int,
        seed: int,
        count: Callable[[int], None],
    ) -> Iterator[Strip]:
        """The first estimate and all draws, the tiles of a photo blended after every step."""
        first_program = self._program("first", 1)

        def first(tiles: Sequence[_Tile]) -> Float[np.ndarray, "b t t 3"]:
            return self._run(first_program, [tile.rainy for tile in tiles])

        rows = _Pass(plan, photo, 1, 3, count).rows(first, self._at_once)
        *firsts, centres = tiling.shared(rows, steps + 1 if draws else 1)
        if not draws:
            for top, some in centres:
                yield Strip(top, some[0], some[:0])
            return
        step_program = self._program("step", 1)
        carry: Rows | None = None
        all_times = samplers.step_times(steps, self._sampling.time_power)
        for number in range(steps):
            times = jax.tree.map(lambda leaf, i=number: np.asarray(leaf[i]), all_times)

            def step(
                tiles: Sequence[_Tile], times: samplers.StepTimes = times
            ) -> Float[np.ndarray, "b t t 6"]:
                nothing = np.zeros((plan.side, plan.side, CARRY_CHANNELS), np.float32)
                carries = [nothing if tile.carry is None else tile.carry for tile in tiles]
                found = self._run(
                    step_program,
                    [tile.rainy for tile in tiles],
                    [np.asarray((draws[tile.layer], *tile.origin), np.int32) for tile in tiles],
                    [tile.first for tile in tiles],
                    [_unpacked(carry) for carry in carries],
                    everywhere=(jax.random.key(seed), times),
                )
                return _packed(found)

            last = number == steps - 1
            one = _Pass(plan, photo, len(draws), 3 if last else CARRY_CHANNELS, count)
            carry = one.rows(step, self._at_once, firsts[number], carry)
        assert carry is not None
        realism = self._sampling.realism
        for (top, some), (_, centre) in zip(carry, centres, strict=True):
            yield Strip(top, centre[0], centre[0] + realism * (some - centre[0]))

    def _whole_draws(
        self,
        photo: Shaped[np.ndarray, "h w 3"],
        plan: tiling.Plan,
        draws: Sequence[int],
        steps: int,
        seed: int,
        count: Callable[[int], None],
    ) -> Iterator[Strip]:
        """All draws, each tile drawn by itself: for states that are not those of photos."""
        program = self._program("draw", steps)

        def draw(tiles: Sequence[_Tile]) -> Float[np.ndarray, "b t t 3"]:
            origins = [np.asarray((draws[tile.layer], *tile.origin), np.int32) for tile in tiles]
            rainy = [tile.rainy for tile in tiles]
            return self._run(program, rainy, origins, everywhere=(jax.random.key(seed),))

        for top, some in _Pass(plan, photo, len(draws), 3, count).rows(draw, self._at_once):
            yield Strip(top, None, some)

    @property
    def _at_once(self) -> int:
        return self.tiles_at_once * self._devices

    def _program(self, part: str, steps: int) -> Callable[..., Any]:
        """A program over all devices: `first`, `step`, or a `draw` of so many steps."""
        if (part, steps) not in self._compiled:
            make, of_tiles, of_all = _PARTS[part]
            self._compiled[part, steps] = jax.pmap(
                make(self.method, dataclasses.replace(self._sampling, steps=steps)),
                in_axes=(None, *[0] * of_tiles, *[None] * of_all),
            )
        return self._compiled[part, steps]

    def _run(
        self, program: Callable[..., Any], *of_tiles: Sequence[Any], everywhere: Sequence[Any] = ()
    ) -> Any:
        """Runs at most a full batch.

        `of_tiles` hold one array (or tuple of arrays) a tile, `everywhere` what is for all.
        """
        count = len(of_tiles[0])
        # One shape, so no new compilation: the first tile fills the batch up.
        spare = [0] * (self._at_once - count)

        def stack(*leaves: np.ndarray) -> np.ndarray:
            stacked = np.stack([*leaves, *[leaves[i] for i in spare]])
            return stacked.reshape(self._devices, self.tiles_at_once, *stacked.shape[1:])

        batches = [jax.tree.map(stack, *some) for some in of_tiles]
        found = program(self._params, *batches, *everywhere)
        return jax.tree.map(
            lambda leaf: np.asarray(leaf).reshape(-1, *leaf.shape[2:])[:count], found
        )


# How each program is made; how many arguments it has of every tile, and how many for all.
_PARTS: dict[str, tuple[Callable[..., Callable[..., Any]], int, int]] = {
    "first": (tile_programs.make_first, 1, 0),
    "step": (tile_programs.make_step, 4, 2),
    "draw": (tile_programs.make_draw, 2, 1),
}


def _counter(watch: Watch, total: int, pixels: int) -> Callable[[int], None]:
    """A function that adds up tiles and says to `watch` how many are done."""
    done = 0

    def count(tiles: int) -> None:
        nonlocal done
        done += tiles
        watch(Tiles(done, total, pixels / 1e6))

    count(0)
    return count


def _packed(photos: Sequence[np.ndarray]) -> np.ndarray:
    """Parts as channels of one array, to be blended together."""
    return np.concatenate(photos, axis=-1)


def _unpacked(channels: np.ndarray) -> Carry:
    return Carry(*np.split(channels, 2, axis=-1))


class _Tile(NamedTuple):
    """What a program sees of one tile."""

    rainy: Float[np.ndarray, "t t 3"]
    layer: int  # which of the draws
    origin: tuple[int, int]  # top row and left column
    first: Float[np.ndarray, "t t 3"] | None  # its photo
    carry: Float[np.ndarray, "t t 6"] | None


@dataclasses.dataclass(frozen=True)
class _Pass:
    """One program over all tiles of a photo, and the blending of its output.

    Attributes:
      plan: where the tiles lie.
      photo: the rainy photo, padded.
      layers: pictures that are made: draws.
      channels: of what is blended.
      count: told of every batch how many tiles it was.
    """

    plan: tiling.Plan
    photo: Shaped[np.ndarray, "h w 3"]
    layers: int
    channels: int
    count: Callable[[int], None]

    def rows(
        self,
        program: Callable[[Sequence[_Tile]], np.ndarray],
        at_once: int,
        first: Rows | None = None,
        carry: Rows | None = None,
    ) -> Rows:
        """Yields completed rows; takes up rows of the first estimate and of the step before."""
        plan = self.plan
        blend = tiling.Blend(plan, self.layers, self.channels)
        firsts = itertools.repeat(None) if first is None else tiling.windows(first, plan)
        carries = itertools.repeat(None) if carry is None else tiling.windows(carry, plan)
        for top, seen, carried in zip(plan.rows, firsts, carries, strict=False):
            rainy = to_unit(self.photo[top : top + plan.side])
            # Tiles of several draws share a batch, so that small photos fill it too.
            jobs = [(layer, left) for layer in range(self.layers) for left in plan.columns]
            for some in (jobs[i : i + at_once] for i in range(0, len(jobs), at_once)):
                tiles = []
                for layer, left in some:
                    columns = slice(left, left + plan.side)
                    tiles.append(
                        _Tile(
                            rainy[:, columns],
                            layer,
                            (top, left),
                            None if seen is None else seen[0][:, columns],
                            None if carried is None else carried[layer][:, columns],
                        )
                    )
                found = program(tiles)
                self.count(len(tiles))
                for (layer, left), tile in zip(some, found, strict=True):
                    yield from blend.add(layer, top, left, tile[..., : self.channels])
        yield from blend.finish()
