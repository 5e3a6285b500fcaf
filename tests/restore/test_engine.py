"""Tiles: how photos of any size go through the method, and come back whole."""

import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest
from jax import monitoring
from PIL import Image
from scipy import ndimage
from skimage import data

from fftdiff_jax.errors import UserError
from fftdiff_jax.method import noises, rain_spectrum, representations
from fftdiff_jax.metrics.scores import score_photos
from fftdiff_jax.restore import tiling
from fftdiff_jax.restore.restorer import Restorer
from fftdiff_jax.restore.tile_programs import Carry


@pytest.mark.parametrize("size", [(16, 16), (1, 1), (1, 300), (255, 257), (300, 700)])
def test_tiles_of_an_untouched_photo_blend_to_the_photo(size, rng, tiny_restorer):
    """With a network that changes nothing the whole path returns the photo itself."""
    photo = rng.integers(0, 256, (*size, 3), np.uint8)
    restorer = unchanging(tiny_restorer)
    np.testing.assert_array_equal(restorer(photo), photo)
    np.testing.assert_array_equal(restorer(photo, draws=3, bits=16), photo.astype(np.uint16) * 257)
    np.testing.assert_array_equal(restorer.sample(photo, draws=3), np.stack([photo] * 3))
    for steps in (1, 4):
        restored, spread = restorer.with_spread(photo, draws=2, steps=steps)
        np.testing.assert_array_equal(restored, photo)
        assert spread.max() < 1e-6


def test_all_bits_of_a_deep_photo_are_seen_and_come_back(rng, tiny_restorer):
    """A dark ramp of 1024 values of 65,536 stays one, and each of its steps is seen."""
    ramp = np.tile(np.arange(0, 1024, 8, dtype=np.uint16)[None, :, None], (40, 1, 3))
    restorer = unchanging(tiny_restorer)
    np.testing.assert_array_equal(restorer(ramp), ramp)
    as_floats = (ramp / 65535).astype(np.float32)
    np.testing.assert_allclose(restorer(as_floats), as_floats, atol=1e-6)
    assert restorer(as_floats).dtype == np.float32
    image = Image.fromarray(ramp[..., 0])
    np.testing.assert_array_equal(np.asarray(restorer(image)), ramp[..., 0])
    fine = tiny_restorer.sample_float(ramp)
    coarse = tiny_restorer.sample_float((ramp >> 8).astype(np.uint8))
    assert np.abs(fine - coarse).max() > 0.002
    np.testing.assert_allclose(fine, tiny_restorer.sample_float(as_floats), atol=1e-6)
    with pytest.raises(UserError, match=r"in \[0, 1\]"):
        tiny_restorer(as_floats + np.nan)


def test_overlapping_crops_of_one_noise_photo_decode_alike(rng):
    """The states of two crops differ; what they decode to agrees in detail where they overlap.

    Slow waves of the noise belong to a whole crop, so only what is finer than 4 pixels is compared.
    """
    table = rain_spectrum.DEFAULT_RAIN_SPECTRUM
    representation = representations.LogRatio(True, table)
    photo = jnp.asarray(data.astronaut()[:128, 100:292], jnp.float32) / 255
    white = jnp.asarray(rng.standard_normal(photo.shape), jnp.float32)
    decoded = []
    for left in (0, 64):
        crop, noise = photo[:, left : left + 128], white[:, left : left + 128]
        state = 0.3 * noises.PhotoNoise().to_state(noise, crop)
        decoded.append(representation.decode(state, crop) - crop)
    one, other = np.asarray(decoded[0][32:96, 80:112]), np.asarray(decoded[1][32:96, 16:48])
    one, other = (noise - ndimage.gaussian_filter(noise, (4, 4, 0)) for noise in (one, other))
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.85


def fresh(restorer):
    return Restorer(restorer.params, restorer.config)


def unchanging(restorer, seen=None):
    """A restorer whose programs return what they are given; `seen` hears of their tiles."""
    restorer = fresh(restorer)

    def first(params, rainy):
        if seen is not None:
            seen.append(("first", rainy.shape))
        return rainy

    def step(params, rainy, tile_origins, first, carry, key, times):
        if seen is not None:
            seen.append(("step", rainy.shape))
        np.testing.assert_allclose(first, rainy, atol=1e-6)
        if times.number > 0:
            np.testing.assert_allclose(carry.estimate, rainy, atol=1e-6)
            np.testing.assert_allclose(carry.noise, 2 * rainy, atol=1e-6)
        return Carry(first, 2 * rainy)

    restorer._engine._program = lambda part, steps: {"first": first, "step": step}[part]
    return restorer


@pytest.mark.parametrize(("draws", "closest"), [(0, 60), (1, 40)])
def test_whole_photo_and_tiles_agree(tiny_restorer, monkeypatch, draws, closest):
    """Seams are the commonest complaint about tools that work by tiles."""
    photo = data.astronaut()[:320, :320]
    monkeypatch.setattr(tiling, "SIDES", (320,))
    whole = fresh(tiny_restorer)(photo, draws=draws)
    monkeypatch.setattr(tiling, "SIDES", (128,))
    restorer = fresh(tiny_restorer)
    tiles = restorer(photo, draws=draws)
    assert score_photos(tiles, whole)["psnr_rgb"] > closest
    if draws:
        assert score_photos(restorer(photo, draws=1, seed=1), whole)["psnr_rgb"] < closest - 3
    assert score_photos(whole, photo)["psnr_rgb"] < 35  # the network does change the photo
    for name, value in score_photos(tiles, photo).items():
        assert value == pytest.approx(score_photos(whole, photo)[name], abs=0.1)


@pytest.mark.parametrize(
    ("draws", "steps", "seed"), [(0, 1, 0), (2, 1, 0), (2, 1, 1), (2, 1, 2), (2, 4, 0)]
)
def test_no_seam_can_be_seen(draws, steps, seed, monkeypatch):
    """Where tiles fade into each other the photo is about as smooth as it is without tiles.

    What is compared is the change from one column to the next that restoring has made. A seam would
    be a line of one sign down the middle of the fade, or columns that are rougher there than those
    beside it. Tiles see less around them than a whole photo does, and are rougher everywhere by
    what that is worth, so it is the fade and its surroundings that are compared.
    """
    overlap = tiling.overlap_of(draws)
    width = (2 * 192 - overlap) // 16 * 16
    photo = data.astronaut()[:192, 50 : 50 + width]
    first, second = tiling.tile_weights(width, 192, 8, overlap)
    middle = (first + 192 + second) // 2
    fade = np.arange(middle - 8, middle + 8)
    beside = np.r_[middle - 40 : middle - 16, middle + 16 : middle + 40]
    lines, rough = [], []
    for side in (192, 384):
        monkeypatch.setattr(tiling, "SIDES", (side,))
        restorer = Restorer.pretrained()
        restored = restorer.sample_float(photo, steps=steps, draws=draws, seed=seed)
        steps_across = 255 * np.diff(restored - photo / 255, axis=2)
        lines.append(np.abs(steps_across.mean(axis=1)).mean(axis=(0, 2)))
        rough.append(np.abs(steps_across).mean(axis=(0, 1, 3)))
    line, more = lines[0] - lines[1], rough[0] - rough[1]
    assert line[fade].max() - line[beside].max() < 0.1  # of a grey level
    assert more[fade].mean() - more[beside].mean() < 0.25


def test_memory_is_that_of_a_row_of_tiles(tiny_restorer, monkeypatch):
    """Beside the photo and the result, a high photo needs no more than a flat one."""
    monkeypatch.setattr(tiling, "SIDES", (128,))
    restorer = unchanging(tiny_restorer)
    peaks = []
    for height in (900, 3000):
        photo = np.full((height, 200, 3), 7, np.uint8)
        tracemalloc.start()
        restored, spread = restorer.with_spread(photo, draws=2, steps=3)
        peaks.append(tracemalloc.get_traced_memory()[1] - restored.nbytes - spread.nbytes)
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_nothing_is_computed_twice_to_fill_a_batch(tiny_restorer, monkeypatch):
    seen = []
    restorer = unchanging(tiny_restorer, seen)
    assert restorer._engine.tiles_at_once == 1  # on a CPU
    restorer(np.zeros((321, 481, 3), np.uint8), draws=2, steps=3)
    # The first estimate once for both draws, then three steps of each; draws take larger tiles.
    shape = (1, 1, 384, 384, 3)
    assert seen.count(("first", shape)) == 2
    assert seen.count(("step", shape)) == 2 * 3 * 2
    assert len(seen) == 14
    seen.clear()
    restorer(np.zeros((321, 481, 3), np.uint8), steps=3)
    assert seen == 6 * [("first", (1, 1, 192, 192, 3))]


def test_as_many_compilations_as_tile_sizes_for_photos_of_all_sizes(rng, tiny_restorer):
    compiled = []

    def listen(event, seconds, **_):
        if event.endswith("backend_compile_duration"):
            compiled.append(seconds)

    monitoring.register_event_duration_secs_listener(listen)
    restorer = fresh(tiny_restorer)
    restorer(rng.integers(0, 256, (16, 16, 3), np.uint8))
    assert compiled  # the listener hears compilations
    compiled.clear()
    for size in ((17, 40), (128, 128), (64, 200), (210, 216)):
        assert tiling.choose_side(*size) == 128
        restorer(rng.integers(0, 256, (*size, 3), np.uint8))
    assert not compiled
    restorer(rng.integers(0, 256, (180, 190, 3), np.uint8))
    once = len(compiled)
    assert once >= 1
    restorer(rng.integers(0, 256, (321, 481, 3), np.uint8))
    assert len(compiled) == once
