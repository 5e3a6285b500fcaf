"""Batches of crops for training, by Grain; whole pairs for evaluation.

Example i of the endless stream is a pure function of (seed, i), and global batch k of size B holds
the examples k B to (k + 1) B - 1, of which process p takes its contiguous part. So the position of
the stream is one number, and neither restarts nor the number of processes, workers or devices
change what an example looks like or when it comes.
"""

from __future__ import annotations

import dataclasses
import os
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, TypedDict

import numpy as np
from absl import flags
from jaxtyping import Int, UInt8

from fftdiff_jax import config as configuration
from fftdiff_jax.config import DataConfig
from fftdiff_jax.data.crops import (
    TURNED_CLEAN,
    TURNED_RAINY,
    change_tone,
    cut_crop,
    save_as_jpeg,
)
from fftdiff_jax.data.manifest import Manifest
from fftdiff_jax.data.rain import RainBank
from fftdiff_jax.data.sources.base import PairSource
from fftdiff_jax.data.sources.open import open_source, pair_sizes, plan_cache
from fftdiff_jax.data.streak_masks import mask_paths
from fftdiff_jax.data.workers import start_worker, without_signals
from fftdiff_jax.errors import UserError

# A photo takes part in an epoch once for every square of this many crop sides that it holds ...
_SIDES_A_CROP = 4
_MOST_CROPS = 16  # ... but no single photo fills a large part of an epoch.
_MOST_REPLACEMENTS = 100

# Without an end, but for the size of an index: Grain's own endless repetition overflows it.
_MOST_EXAMPLES = 2**60


class Batch(TypedDict):
    """The part of a global batch that belongs to this process."""

    clean: UInt8[np.ndarray, "b h w 3"]
    rainy: UInt8[np.ndarray, "b h w 3"]


def training_batches(
    config: DataConfig,
    manifest: Manifest,
    *,
    batch_size: int,
    seed: int,
    process_index: int = 0,
    process_count: int = 1,
    start_batch: int = 0,
) -> TrainingBatches:
    """Opens the endless stream of this process's batches from global batch `start_batch` on.

    Args:
      config: what to read and how to cut it.
      manifest: the rows to train on, of one split.
      batch_size: of the global batch; each process gets batch_size / process_count examples.
      seed: of the order, the crops and the rendered rain.
      process_index: of this process, from 0.
      process_count: how many processes share a global batch.
      start_batch: the number of global batches that were already used.

    Raises:
      UserError: a setting is out of range, or a pair is bad under on_bad_pair="stop". Pairs that
        only turn out bad when they are decoded raise it from the iterator.
    """
    configuration.from_dict(dataclasses.asdict(config), DataConfig, "data")
    if config.streaks_dir:
        mask_paths(config.streaks_dir)  # says what is wrong before the first batch
    if batch_size < 1 or batch_size % process_count:
        raise UserError(
            f"training.batch_size: {batch_size} cannot be shared by {process_count} processes; "
            "make it a multiple"
        )
    source = open_source(config, manifest)
    sizes, bad = pair_sizes(source, config.crop_size, config.on_bad_pair)
    plan_cache(source, sizes)
    entries = epoch_entries(source, sizes, config)
    bank = RainBank(
        seed,
        toned=config.toned_rain,
        streaks_dir=config.streaks_dir,
        streaks=config.photographed_rain,
    )
    examples = _Examples(source, entries, config, seed, bank)
    return TrainingBatches(
        examples, batch_size // process_count, process_index, process_count, start_batch, bad
    )


class TrainingBatches(Iterator[Batch]):
    """This process's batches, without an end.

    Attributes:
      position: the number of the global batch that comes next; resume with start_batch=position.
      skipped: one message a pair that was left out, under on_bad_pair="skip".
    """

    def __init__(
        self,
        examples: _Examples,
        size: int,
        process_index: int,
        process_count: int,
        start_batch: int,
        bad: Sequence[str],
    ):
        self.position = start_batch
        self.skipped: dict[str, None] = dict.fromkeys(bad)
        first = start_batch * process_count + process_index
        self._open = [_grain_iterator(examples, size, slice(first, None, process_count))]
        self._copied = self._starts_workers = examples.config.workers > 0
        # At the interpreter's end too: Grain's own clean-up comes too late there, and complains.
        self._finalizer = weakref.finalize(self, _close, self._open)

    def __next__(self) -> Batch:
        if not self._open:
            raise StopIteration
        if self._starts_workers:  # Grain starts them as the first batch is asked for
            batch = without_signals(lambda: next(self._open[0]))
            self._starts_workers = False
        else:
            batch = next(self._open[0])
        if "failure" in batch:
            self.close()
            raise UserError(batch["failure"])
        self.skipped.update(dict.fromkeys(batch["skipped"]))
        self.position += 1
        clean, rainy = batch["clean"], batch["rainy"]
        if self._copied:  # workers send shared memory, of which little is there
            clean, rainy = np.array(clean), np.array(rainy)
        return {"clean": clean, "rainy": rainy}

    def close(self) -> None:
        """Ends the worker processes; the iterator cannot be used afterwards."""
        self._finalizer()

    def __enter__(self) -> TrainingBatches:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


@dataclasses.dataclass(frozen=True)
class _Examples:
    """The pure function from an example's number to its pair of crops; pickled to workers."""

    source: PairSource
    entries: np.ndarray
    config: DataConfig
    seed: int
    bank: RainBank

    def __call__(self, number: int, entry: int) -> dict[str, Any]:
        rng = np.random.Generator(np.random.Philox(key=[self.seed % 2**64, number]))
        skipped = []
        for _ in range(_MOST_REPLACEMENTS):
            try:
                clean, rainy = self._crops(int(entry), rng, number)
            except UserError as error:
                if self.config.on_bad_pair == "stop":
                    return {"failure": str(error)}
                skipped.append(str(error))
                entry = self.entries[rng.integers(len(self.entries))]
            else:
                return {"clean": clean, "rainy": rainy, "skipped": skipped}
        return {"failure": f"{skipped[-1]} (and {_MOST_REPLACEMENTS} pairs in a row were bad)"}

    def _crops(
        self, index: int, rng: np.random.Generator, number: int
    ) -> tuple[np.ndarray, np.ndarray]:
        config, size = self.config, self.config.crop_size
        read = self.source.has_rainy(index) and rng.random() >= config.rendered_rain
        photos = [self.source.photo(index, False)]
        if read:
            photos.append(self.source.photo(index, True))
        if any(photo.shape != photos[0].shape or min(photo.shape[:2]) < size for photo in photos):
            raise UserError(f"{self.source.where(index)}: the files changed since training began")
        turned = TURNED_RAINY if read else TURNED_CLEAN
        crops = cut_crop(
            photos, size, rng, augment=config.augment, turned=turned, rescale=config.rescale
        )
        if config.retoned and rng.random() < config.retoned:
            crops = change_tone(crops, rng)
        if config.dry and rng.random() < config.dry:
            return crops[0], crops[0]
        # Rain falls on the last of them: on the photo without any, or on rain that is there.
        if not read or (config.rain_on_rain and rng.random() < config.rain_on_rain):
            rainy = self.bank.render(crops[-1], rng, number)
            if config.compressed and rng.random() < config.compressed:
                rainy = save_as_jpeg(rainy, rng)
            return crops[0], rainy
        return crops[0], crops[1]


def epoch_entries(
    source: PairSource, sizes: dict[int, tuple[int, int]], config: DataConfig
) -> Int[np.ndarray, " n"]:
    """The indices of one epoch: larger photos several times, and pairs `pair_repeats` as often."""
    area = (_SIDES_A_CROP * config.crop_size) ** 2
    crops = [min(max(round(h * w / area), 1), _MOST_CROPS) for h, w in sizes.values()]
    repeats = [config.pair_repeats if source.has_rainy(index) else 1 for index in sizes]
    return np.repeat(np.fromiter(sizes, np.int64), np.multiply(crops, repeats))


def _close(iterators: list[Any]) -> None:
    while iterators:
        iterators.pop().close()


def _stack(examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    for example in examples:
        if "failure" in example:
            return {"failure": example["failure"]}
    return {
        "clean": np.stack([example["clean"] for example in examples]),
        "rainy": np.stack([example["rainy"] for example in examples]),
        "skipped": [message for example in examples for message in example["skipped"]],
    }


def _grain_iterator(examples: _Examples, size: int, batches: slice) -> Any:
    import grain  # late: it brings JAX along, which evaluation alone does not need here

    # Grain shuffles epoch e by seed + e: seeds 0 and 1 would share all epochs but one.
    shuffle_seed = int(np.random.SeedSequence(examples.seed).generate_state(1)[0])
    workers = examples.config.workers
    dataset = (
        grain.MapDataset.source(examples.entries)
        .shuffle(shuffle_seed)
        .repeat(_MOST_EXAMPLES // len(examples.entries))
        .map_with_index(examples)
        .batch(size, batch_fn=_stack)
        .slice(batches)
        .to_iter_dataset(
            grain.ReadOptions(
                num_threads=1 if workers else min(4, os.cpu_count() or 1),
                prefetch_buffer_size=4 if workers else 8,
            )
        )
    )
    if not workers:
        return iter(dataset)
    # Grain's worker processes read absl's flags, which only a program that runs absl.app.run has
    # parsed: a notebook, a test and a caller of this library have not, and would get an error.
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    options = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2)
    return iter(dataset.mp_prefetch(options, worker_init_fn=start_worker))
