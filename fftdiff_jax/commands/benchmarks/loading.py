"""Pairs a second from the data layer, beside the loop that a straightforward script would use."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from fftdiff_jax.commands.benchmarks import timing
from fftdiff_jax.commands.benchmarks.training import Training
from fftdiff_jax.config import Config, DataConfig
from fftdiff_jax.data import pipeline
from fftdiff_jax.data.manifest import Manifest, read_manifest, write_manifest
from fftdiff_jax.data.opened import FORMATS
from fftdiff_jax.data.rain import render_rain
from fftdiff_jax.method import representations, spectra
from fftdiff_jax.training.examples import Batch

PHOTOS = ("astronaut", "coffee", "chelsea", "rocket")
VERSIONS_A_PHOTO = 6
JPEG_QUALITY = 92
BATCHES_A_RUN, LOOP_PAIRS_A_RUN, WATCHED_STEPS = 40, 40, 40


def measure_loading(
    config: Config, *, repeats: int, manifest: str | None = None, quick: bool = False
) -> dict[str, Any]:
    """Times crops and their spectra from a manifest, from TFDS and in a NumPy loop.

    Without a manifest, pairs are made in a temporary folder: JPEG photos that ship with
    scikit-image, and rendered rain. The three ways take turns, so that the machine's load falls
    on all. The decoded photos are cached first; what that takes is reported apart.
    """
    from fftdiff_jax.data.sources.shards import build_rain_pairs

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        table = _copied(manifest, path) if manifest else make_pairs(path)
        build_rain_pairs(table)
        whole = read_manifest(table)
        rows = whole.select("train") if whole.has_splits else whole
        data = dataclasses.replace(
            config.data, manifest=str(table), rendered_rain=0.0, workers=config.data.workers
        )
        batches = 4 if quick else BATCHES_A_RUN
        ways: dict[str, Callable[[], int]] = {}
        first_pass = {}
        for source in ("manifest", "tfds"):
            # A cache each: neither may profit from what the other has decoded.
            chosen = dataclasses.replace(data, source=source, cache_dir=str(path / source))
            stream = _Pipeline(config, chosen, rows, batches)
            first_pass[source] = stream.fill_cache()
            ways[source] = stream
        ways["numpy_loop"] = _NumpyLoop(rows, config.data.crop_size, LOOP_PAIRS_A_RUN)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for way in ways.values():
            way()
        for _ in range(repeats):
            for name, way in ways.items():
                start = time.perf_counter()
                pairs = way()
                rates[name].append(pairs / (time.perf_counter() - start))
        filled = dataclasses.replace(data, cache_dir=str(path / "manifest"))
        share = waiting_share(config, filled, rows, 4 if quick else WATCHED_STEPS)
    median = {name: statistics.median(values) for name, values in rates.items()}
    return {
        "pairs_per_second": median,
        "times_numpy_loop": {
            name: median[name] / median["numpy_loop"] for name in ("manifest", "tfds")
        },
        "spread": {name: timing.spread(values) for name, values in rates.items()},
        "first_pass_seconds": first_pass,
        "waiting_share": share,
        "pairs": len(rows),
        "crop_size": config.data.crop_size,
        "batch_size": config.training.batch_size,
        "peak_rss_mb": timing.peak_rss_mb(),
    }


def waiting_share(config: Config, data: DataConfig, rows: Manifest, steps: int) -> float:
    """Share of a training loop's time in which the device has nothing to do but wait for data.

    The device is awaited after every step, so that all of the iterator's time counts; the loop
    itself, which does not await the device, waits less.
    """
    training = Training(config)
    with _open(config, data, rows) as stream:

        def step() -> float:
            start = time.perf_counter()
            batch = next(stream)
            waited = time.perf_counter() - start
            training.batch = as_step_batch(batch)
            jax.block_until_ready(training.run(1))
            return waited

        step()
        start = time.perf_counter()
        waited = sum(step() for _ in range(steps))
        return waited / (time.perf_counter() - start)


def as_step_batch(batch: pipeline.Batch) -> Batch:
    """A batch of the data layer with the devices in front."""
    shape = (jax.local_device_count(), -1, *batch["clean"].shape[1:])
    return Batch(batch["clean"].reshape(shape), batch["rainy"].reshape(shape))


def make_pairs(folder: Path) -> Path:
    """Writes JPEG pairs with rendered rain below `folder`; returns their manifest."""
    from skimage import data

    rows = []
    for i, name in enumerate(PHOTOS):
        clean = getattr(data, name)()
        clean_path = folder / f"{name}.jpg"
        Image.fromarray(clean).save(clean_path, quality=JPEG_QUALITY)
        for version in range(VERSIONS_A_PHOTO):
            rainy = render_rain(clean, np.random.default_rng((i, version)))
            rainy_path = folder / f"{name}_{version}.jpg"
            Image.fromarray(rainy).save(rainy_path, quality=JPEG_QUALITY)
            rows.append((str(clean_path), str(rainy_path), "train"))
    write_manifest(folder / "pairs.csv", rows)
    return folder / "pairs.csv"


def _copied(manifest: str, folder: Path) -> Path:
    """A copy of a manifest, for its shards must not be written beside the user's own."""
    rows = read_manifest(manifest).rows
    write_manifest(folder / "pairs.csv", [(row.clean, row.rainy, row.split) for row in rows])
    return folder / "pairs.csv"


def _open(config: Config, data: DataConfig, rows: Manifest) -> pipeline.TrainingBatches:
    return pipeline.training_batches(
        data, rows, batch_size=config.training.batch_size, seed=config.training.seed
    )


class _Pipeline:
    """Batches of the data layer, sent to the device as uint8 and made into spectra there."""

    def __init__(self, config: Config, data: DataConfig, rows: Manifest, batches: int) -> None:
        self._config, self._data, self._rows, self._batches = config, data, rows, batches
        self._stream: Iterator[pipeline.Batch] = iter(())
        representation = representations.make_representation(config.representation)

        def encode(clean: jax.Array, rainy: jax.Array) -> tuple[jax.Array, jax.Array]:
            clean, rainy = (photo.astype(jnp.float32) / 255 for photo in (clean, rainy))
            return representation.encode(clean, rainy), spectra.condition(rainy)

        self._encode = jax.pmap(encode)  # over the devices, as the training step is

    def fill_cache(self) -> float:
        """Decodes every photo once, one after the other; returns the seconds."""
        from fftdiff_jax.data.sources.open import open_source, pair_sizes, plan_cache

        start = time.perf_counter()
        source = open_source(self._data, self._rows)
        sizes, _ = pair_sizes(source, self._data.crop_size, self._data.on_bad_pair)
        plan_cache(source, sizes)
        for index in sizes:
            source.photo(index, False)
            source.photo(index, True)
        self._stream = _open(self._config, self._data, self._rows)
        return time.perf_counter() - start

    def __call__(self) -> int:
        """Makes batches of spectra and returns how many pairs they held."""
        encoded = None
        for _ in range(self._batches):
            encoded = self._encode(*as_step_batch(next(self._stream)))
        jax.block_until_ready(encoded)
        return self._batches * self._config.training.batch_size


class _NumpyLoop:
    """Item by item: read with Pillow, crop, FFT of each channel, log-magnitude and phase."""

    def __init__(self, rows: Manifest, crop_size: int, pairs: int) -> None:
        self._rows, self._size, self._pairs = list(rows), crop_size, pairs
        self._rng = np.random.default_rng(0)

    def __call__(self) -> int:
        """Makes the spectra of some pairs and their difference; returns how many pairs."""
        for _ in range(self._pairs):
            row = self._rows[self._rng.integers(len(self._rows))]
            photos = []
            for path in (row.clean, row.rainy):
                with Image.open(str(path), formats=FORMATS) as image:
                    photos.append(np.asarray(image.convert("RGB")) / 255.0)
            height, width = photos[0].shape[:2]
            top = self._rng.integers(height - self._size + 1)
            left = self._rng.integers(width - self._size + 1)
            both = [
                self._spectrum(photo[top : top + self._size, left : left + self._size])
                for photo in photos
            ]
            _ = both[0] - both[1]
        return self._pairs

    @staticmethod
    def _spectrum(crop: np.ndarray) -> np.ndarray:
        channels = []
        for channel in range(3):
            spectrum = np.fft.fftshift(np.fft.fft2(crop[:, :, channel]))
            channels.append((np.log(np.abs(spectrum) + 1e-8), np.angle(spectrum)))
        magnitudes, phases = zip(*channels, strict=True)
        return np.stack([*magnitudes, *phases], axis=-1).astype(np.float32)
