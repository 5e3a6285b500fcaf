"""Restorer: a checkpoint and a photo of any size in, a clean photo out.

Every photo is cut into overlapping tiles of a few sizes (tiling.py), restored in batches of one
size, and blended. Tiles are blended after every step, and the next one cuts them anew from the
blended photo (tile_programs.py), so that all tiles of a draw agree. Steps are chained: each takes
up the rows that the one before has completed, so that what is held is a row of tiles for each step
and draw, whatever the photo's height. Two compiled programs for each of the three sizes of tiles
serve all photos and any number of steps.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, PyTree, UInt8, UInt16

from fftdiff_jax.config import Config
from fftdiff_jax.errors import UserError
from fftdiff_jax.method import samplers
from fftdiff_jax.metrics import draws as drawing
from fftdiff_jax.metrics.power import spectral_power
from fftdiff_jax.pixels import pixel_type, to_bits, to_uint8
from fftdiff_jax.restore import tile_programs, tiling
from fftdiff_jax.restore.tiling import Rows

# Tiles that a device holds at a time. A CPU computes one no slower than several, and a batch of one
# is never filled up with tiles that nobody wants; other devices idle on one.
TILES_AT_ONCE = {"cpu": 1}
TILES_AT_ONCE_ELSEWHERE = 8
# One step draws nothing: of a spread, where no number of steps is asked for.
STEPS_OF_A_SPREAD = 4


class Restorer:
    """Removes rain from photos: `restorer(photo)`.

    Attributes:
      params: the weights.
      config: the experiment that trained them.
      step: how many training steps they have seen.
      name: where they were found.
    """

    def __init__(self, params: PyTree, config: Config, step: int = 0, name: str = "") -> None:
        """Takes EMA parameters and the configuration that they were trained with."""
        self.params, self.config, self.step, self.name = params, config, step, name
        devices = jax.local_devices()
        self._devices = len(devices)
        self._tiles_at_once = TILES_AT_ONCE.get(devices[0].platform, TILES_AT_ONCE_ELSEWHERE)
        # Pixels between neighbours at the network's coarsest resolution.
        self._stride = config.model.fold * 2 ** (len(config.model.widths) - 1)
        self._compiled: dict[tuple[str, int], Callable[..., Array]] = {}

    @classmethod
    def from_checkpoint(cls, path: str | Path) -> Restorer:
        """Opens a run's folder; `UserError` when there is no complete checkpoint in it."""
        # Late: Orbax takes a second to import, and only this needs it.
        from fftdiff_jax.restore.open_weights import load_weights

        return cls(*load_weights(path), name=str(path))

    @classmethod
    def pretrained(cls) -> Restorer:
        """The restorer that comes with the package; see pretrained/README.md for its training."""
        from fftdiff_jax.restore.weights import pretrained_path

        return cls.from_checkpoint(pretrained_path())

    def with_sampling(self, **changes: Any) -> Restorer:
        """The same weights with other defaults of sampling, such as steps=4, noise_scale=0.0."""
        sampling_config = dataclasses.replace(self.config.sampling, **changes)
        config = dataclasses.replace(self.config, sampling=sampling_config)
        return Restorer(self.params, config, self.step, self.name)

    def __repr__(self) -> str:
        return f"Restorer({self.name!r}, step {self.step})"

    def _repr_html_(self) -> str:
        from fftdiff_jax.restore.notebook import restorer_html  # Matplotlib, late

        return restorer_html(self)

    @property
    def default_steps(self) -> int:
        """Steps a draw when none are asked for."""
        return self.config.sampling.steps

    @property
    def default_draws(self) -> int:
        """Draws whose mean is the restored photo when no number is asked for."""
        return self.config.sampling.draws

    def __call__(
        self,
        photo: UInt8[np.ndarray, "h w 3"],
        *,
        draws: int | None = None,
        steps: int | None = None,
        seed: int = 0,
        bits: int = 8,
    ) -> UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]:
        """The restored photo: the mean of `draws` draws of `steps` steps, rounded once.

        It is rounded to `bits`, 8 or 16, over the full range of uint8 or uint16. Beyond photo and
        result, memory depends on the photo's width alone.

        Raises:
          UserError: not an 8-bit RGB photo, or fewer than one draw or step.
        """
        _require_photo(photo)
        numbers = self._numbers(draws)
        restored = np.empty(photo.shape, pixel_type(bits))
        for top, rows in self._rows(photo, numbers, steps, seed, mean=True):
            restored[top : top + rows.shape[1]] = to_bits(rows[0], bits)
        return restored

    def with_spread(
        self,
        photo: UInt8[np.ndarray, "h w 3"],
        *,
        draws: int = 8,
        steps: int | None = None,
        seed: int = 0,
        bits: int = 8,
    ) -> tuple[UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]:
        """The restored photo, and the draws' standard deviation (root mean square over R, G, B).

        Without `steps` it takes `STEPS_OF_A_SPREAD` where a draw has one by default.

        Raises:
          UserError: as for a call, fewer than two draws, or a way of sampling that draws nothing.
        """
        _require_photo(photo)
        steps = self._steps_of_a_spread(draws, steps)
        restored = np.empty(photo.shape, pixel_type(bits))
        spread = np.empty(photo.shape[:2], np.float32)
        for top, rows in self._rows(photo, range(draws), steps, seed):
            these = slice(top, top + rows.shape[1])
            restored[these] = to_bits(rows.mean(axis=0), bits)
            spread[these] = drawing.spread(rows)
        return restored, spread

    def sample(
        self,
        photo: UInt8[np.ndarray, "h w 3"],
        *,
        draws: int | None = None,
        steps: int | None = None,
        seed: int = 0,
    ) -> UInt8[np.ndarray, "n h w 3"]:
        """The single draws, rounded to 8 bits."""
        return to_uint8(self.sample_float(photo, draws=draws, steps=steps, seed=seed))

    def sample_float(
        self,
        photo: UInt8[np.ndarray, "h w 3"],
        *,
        draws: int | None = None,
        steps: int | None = None,
        seed: int = 0,
    ) -> Float[np.ndarray, "n h w 3"]:
        """The single draws, in [0, 1]; a draw does not depend on how many others are asked for."""
        return self._whole(photo, self._numbers(draws), steps, seed)

    def _numbers(self, draws: int | None) -> range:
        count = self.default_draws if draws is None else draws
        if count < 1:
            raise UserError(f"draws is {count}; at least 1 is needed")
        return range(count)

    def uncertainty(
        self,
        photo: UInt8[np.ndarray, "h w 3"],
        *,
        draws: int = 8,
        steps: int | None = None,
        seed: int = 0,
    ) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
        """Where the model guesses: the spread of the draws, by pixel and by frequency.

        Returns:
          The standard deviation over draws, root mean square over R, G, B: of the pixels, and of
          the centred spectrum's coefficients.

        Raises:
          UserError: as for `with_spread`, whose number of steps it takes too.
        """
        _require_photo(photo)
        steps = self._steps_of_a_spread(draws, steps)
        # One pair in memory at a time: the two parts of `draws.deviations`, the second one about
        # the first pair, so that little is lost when the square of the mean is taken off.
        pairs = draws // 2
        pixels, frequencies = (np.zeros(photo.shape[:2], np.float32) for _ in range(2))
        first = total = np.zeros(photo.shape, np.float32)

        def add(difference: np.ndarray, weight: float) -> None:
            pixels[:] += weight * np.square(difference).mean(axis=-1)
            frequencies[:] += weight * spectral_power(difference)

        for pair in range(pairs):
            one, other = self._whole(photo, [2 * pair, 2 * pair + 1], steps, seed)
            add((one - other) / 2, 1 / pairs)
            middle = (one + other) / 2
            if pair == 0:
                first = middle
            elif pairs > 1:
                total = total + (middle - first)
                add(middle - first, 1 / (pairs - 1))
        if pairs > 1:
            add(total, -1 / (pairs * (pairs - 1)))
        return np.sqrt(np.maximum(pixels, 0)), np.sqrt(np.maximum(frequencies, 0))

    def _steps_of_a_spread(self, draws: int, steps: int | None) -> int:
        if draws < 2:
            raise UserError(f"draws is {draws}; a spread takes at least 2")
        if self.config.sampling.noise_scale == 0:
            raise UserError("noise_scale is 0: every draw is the same photo, and has no spread")
        draws_in_one = not tile_programs.can_be_blended(self.config)
        if steps is None:
            least = 1 if draws_in_one else STEPS_OF_A_SPREAD
            return self.default_steps if self.default_steps > 1 else least
        if steps == 1 and not draws_in_one:
            raise UserError("one step draws nothing, and has no spread; take 2 or more")
        return steps

    def _whole(
        self, photo: UInt8[np.ndarray, "h w 3"], draws: Sequence[int], steps: int | None, seed: int
    ) -> Float[np.ndarray, "n h w 3"]:
        """Draws of these numbers."""
        _require_photo(photo)
        whole = np.empty((len(draws), *photo.shape), np.float32)
        for top, rows in self._rows(photo, draws, steps, seed):
            whole[:, top : top + rows.shape[1]] = rows
        return whole

    def _rows(
        self,
        photo: UInt8[np.ndarray, "h w 3"],
        draws: Sequence[int],
        steps: int | None,
        seed: int,
        mean: bool = False,
    ) -> Rows:
        """Yields (top, rows of all draws, or of their mean), from top to bottom, in [0, 1]."""
        steps = self.default_steps if steps is None else steps
        if steps < 1:
            raise UserError(f"steps is {steps}; a draw takes at least 1")
        height, width = photo.shape[:2]
        side = tiling.choose_side(height, width)
        plan = tiling.Plan(height, width, side, self._stride)
        padded = tiling.pad(photo, side, self._stride)
        if tile_programs.can_be_blended(self.config):
            rows = self._by_steps(padded, plan, draws, steps, seed)
        else:
            rows = self._whole_draws(padded, plan, draws, steps, seed)
        for top, some in rows:
            if top < height:
                found = np.clip(some[:, : height - top, :width], 0.0, 1.0)
                yield top, found.mean(axis=0, keepdims=True) if mean else found

    def _by_steps(
        self,
        photo: UInt8[np.ndarray, "h w 3"],
        plan: tiling.Plan,
        draws: Sequence[int],
        steps: int,
        seed: int,
    ) -> Rows:
        """Rows of all draws, the tiles of a photo blended after every step."""
        sampling_config = self.config.sampling
        first_program = self._compile("first", steps=1)

        def first(tiles: Sequence[_Tile]) -> np.ndarray:
            return self._run(first_program, [tile.rainy for tile in tiles])

        seen = _Pass(plan, photo, layers=1, channels=tile_programs.FIRST_CHANNELS)
        rows = seen.rows(first, self._at_once)
        if tile_programs.steps_taken(self.config, steps, sampling_config.noise_scale) == 1:
            yield from ((top, some[..., :3].repeat(len(draws), 0)) for top, some in rows)
            return
        times = np.asarray(samplers.step_times(steps, sampling_config.time_power))
        program = self._compile("step", steps=1)
        *estimates, centres = tiling.shared(rows, steps)
        made = sorted({draw ^ flip for draw in draws for flip in (0, 1)})  # both of every pair
        carry: Rows | None = None
        for number in range(1, steps):
            moment = np.asarray([number, *times[number - 1 : number + 2]], np.float32)

            def step(tiles: Sequence[_Tile], moment: np.ndarray = moment) -> np.ndarray:
                nothing = np.zeros((plan.side, plan.side, tile_programs.CARRY_CHANNELS), np.float32)
                return self._run(
                    program,
                    [tile.rainy for tile in tiles],
                    [np.asarray((made[tile.layer], *tile.place), np.int32) for tile in tiles],
                    [tile.first for tile in tiles],
                    [nothing if tile.carry is None else tile.carry for tile in tiles],
                    everywhere=(jax.random.key(seed), moment),
                )

            last = number == steps - 1
            one = _Pass(
                plan,
                photo,
                layers=len(made),
                channels=3 if last else tile_programs.CARRY_CHANNELS,
            )
            carry = one.rows(step, self._at_once, estimates[number - 1], carry)
        assert carry is not None
        wanted = [made.index(draw) for draw in draws]
        for (top, some), (_, centre) in zip(carry, centres, strict=True):
            yield top, drawing.centred(some, np.clip(centre[0, ..., :3], 0, 1))[wanted]

    def _whole_draws(
        self,
        photo: UInt8[np.ndarray, "h w 3"],
        plan: tiling.Plan,
        draws: Sequence[int],
        steps: int,
        seed: int,
    ) -> Rows:
        """Rows of all draws, each tile drawn by itself: for states that are not those of photos."""
        program = self._compile("whole", steps=steps)

        def draw(tiles: Sequence[_Tile]) -> np.ndarray:
            places = [np.asarray((draws[tile.layer], *tile.place), np.int32) for tile in tiles]
            rainy = [tile.rainy for tile in tiles]
            return self._run(program, rainy, places, everywhere=(jax.random.key(seed),))

        one = _Pass(plan, photo, layers=len(draws), channels=3)
        return one.rows(draw, self._at_once)

    @property
    def _at_once(self) -> int:
        return self._tiles_at_once * self._devices

    def _compile(self, part: str, steps: int) -> Callable[..., Array]:
        """A program over all devices: `first`, `step`, or `whole` draws of so many steps."""
        sampling_config = dataclasses.replace(self.config.sampling, steps=steps)
        if (part, steps) not in self._compiled:
            make, of_tiles, of_all = _PARTS[part]
            self._compiled[part, steps] = jax.pmap(
                make(self.config, sampling_config),
                in_axes=(None, *[0] * of_tiles, *[None] * of_all),
            )
        return self._compiled[part, steps]

    def _run(
        self,
        program: Callable[..., Array],
        *arrays: Sequence[Any],
        everywhere: Sequence[Any] = (),
    ) -> Float[np.ndarray, "b t t c"]:
        """Runs at most a full batch; `arrays` hold one array a tile, `everywhere` one for all."""
        count = len(arrays[0])
        # One shape, so no new compilation: the first tile fills the batch up.
        spare = [0] * (self._at_once - count)
        shape = (self._devices, self._tiles_at_once)
        stacked = [np.stack([*some, *[some[i] for i in spare]]) for some in arrays]
        split = [some.reshape(*shape, *some.shape[1:]) for some in stacked]
        found = np.asarray(program(self.params, *split, *everywhere))
        return found.reshape(-1, *found.shape[2:])[:count]


# How each program is made; how many arguments it has of every tile, and how many for all.
_PARTS: dict[str, tuple[Callable[..., Callable[..., Any]], int, int]] = {
    "first": (tile_programs.make_first, 1, 0),
    "step": (tile_programs.make_step, 4, 2),
    "whole": (tile_programs.make_tile_sampler, 2, 1),
}


class _Tile(NamedTuple):
    """What a program sees of one tile."""

    rainy: Float[np.ndarray, "t t 3"]
    layer: int  # which of the draws
    place: tuple[int, int]  # top row and left column
    first: Float[np.ndarray, "t t 4"] | None
    carry: Float[np.ndarray, "t t 6"] | None


@dataclasses.dataclass(frozen=True)
class _Pass:
    """One program over all tiles of a photo, and the blending of what it says.

    Attributes:
      plan: where the tiles lie.
      photo: the rainy photo, padded.
      layers: pictures that are made: draws.
      channels: of what is blended.
    """

    plan: tiling.Plan
    photo: UInt8[np.ndarray, "h w 3"]
    layers: int
    channels: int

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
            rainy = self.photo[top : top + plan.side].astype(np.float32) / 255
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
                for (layer, left), tile in zip(some, program(tiles), strict=True):
                    yield from blend.add(layer, top, left, tile[..., : self.channels])
        yield from blend.finish()


def _require_photo(photo: Any) -> None:
    if not isinstance(photo, np.ndarray):
        raise UserError(
            f"a photo is an array of uint8 (h, w, 3), found {type(photo).__name__}; "
            "fftdiff_jax.data.images.load_photo reads files"
        )
    if photo.ndim != 3 or photo.shape[-1] != 3 or photo.dtype != np.uint8:
        raise UserError(
            f"a photo is an array of uint8 (h, w, 3), found {photo.dtype} {photo.shape}"
        )
    if 0 in photo.shape:
        raise UserError(f"a photo has pixels, found an array of {photo.shape}")
