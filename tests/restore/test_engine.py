"""Photos by tiles: blended without seams, computed once, in little memory."""

import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest
from jax import monitoring
from scipy import ndimage
from skimage import data

from fftdiff_jax.method import noises, rain_spectrum, representations
from fftdiff_jax.metrics.scores import score_photos
from fftdiff_jax.restore import engine, tiling
from fftdiff_jax.restore.restorer import Restorer
from fftdiff_jax.restore.tile_programs import Carry, FirstEstimate


@pytest.mark.parametrize("size", [(16, 16), (1, 1), (1, 300), (255, 257), (300, 700)])
def test_tiles_of_an_untouched_photo_blend_to_the_photo(size, rng, tiny_restorer):
    """With a network that changes nothing the whole path returns the photo itself."""
    photo = rng.integers(0, 256, (*size, 3), np.uint8)
    restorer = unchanging(tiny_restorer)
    np.testing.assert_array_equal(restorer(photo), photo)
    np.testing.assert_array_equal(restorer(photo, draws=3, bits=16), photo.astype(np.uint16) * 257)
    np.testing.assert_array_equal(restorer.sample(photo, draws=3), np.stack([photo] * 3))
    for steps in (2, 5):
        restored, spread = restorer.with_spread(photo, draws=2, steps=steps)
        np.testing.assert_array_equal(restored, photo)
        assert spread.max() < 1e-6


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
        return FirstEstimate(rainy, np.ones_like(rainy[..., :1]))

    def step(params, rainy, tile_origins, first, carry, key, times):
        if seen is not None:
            seen.append(("step", rainy.shape))
        np.testing.assert_allclose(first.photo, rainy, atol=1e-6)
        if times.number > 1:
            np.testing.assert_allclose(carry.estimate, rainy, atol=1e-6)
        return Carry(first.photo, rainy)

    restorer._engine._program = lambda part, steps: {"first": first, "step": step}[part]
    return restorer


@pytest.mark.parametrize(("steps", "closest"), [(1, 60), (4, 40)])
def test_whole_photo_and_tiles_agree(tiny_restorer, monkeypatch, steps, closest):
    """Seams are the commonest complaint about tools that work by tiles.

    Of draws the mean is compared: it is one step's, but for what black and white cut off, and that
    differs from tile to tile.
    """
    photo = data.astronaut()[:208, 100:308]
    monkeypatch.setattr(tiling, "SIDES", (208,))
    whole = fresh(tiny_restorer)(photo, draws=2, steps=steps)
    monkeypatch.setattr(tiling, "SIDES", (128,))
    tiles = fresh(tiny_restorer)(photo, draws=2, steps=steps)
    assert score_photos(tiles, whole)["psnr_rgb"] > closest
    assert score_photos(whole, photo)["psnr_rgb"] < 35  # the network does change the photo
    for name, value in score_photos(tiles, photo).items():
        assert value == pytest.approx(score_photos(whole, photo)[name], abs=0.1)


@pytest.mark.parametrize(("steps", "scale"), [(1, 1.0), (4, 0.5), (4, 1.0)])
def test_no_seam_can_be_seen(steps, scale, monkeypatch):
    """Where tiles fade into each other the photo is about as smooth as it is without tiles.

    What is compared is the change from one column to the next that restoring has made, in the
    middle of the fade: a seam would be a step there. Tiles of this photo differ by 5 grey levels
    in tone; faded over, a quarter of a level a column is half of what rounding to 8 bits hides.
    """
    photo = data.astronaut()[:192, 50:386]
    first, second = tiling.tile_weights(336, 192, 8)
    middle = slice((first + 192 + second) // 2 - 8, (first + 192 + second) // 2 + 8)
    found = []
    for side in (192, 384):
        monkeypatch.setattr(tiling, "SIDES", (side,))
        restorer = Restorer.pretrained().with_sampling(noise_scale=scale)
        change = restorer.sample_float(photo, steps=steps, draws=2) - photo / 255
        found.append(np.abs(np.diff(change, axis=2)).mean(axis=(0, 1, 3))[middle].mean())
    tiles, whole = found
    assert 255 * (tiles - whole) < 0.25


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
    # The first step once for both draws, then two steps of each.
    shape = (1, 1, 192, 192, 3)
    assert seen.count(("first", shape)) == 6
    assert seen.count(("step", shape)) == 2 * 2 * 6
    assert len(seen) == 30


def test_a_full_batch_and_the_rest_give_what_single_tiles_give(rng, tiny_restorer, monkeypatch):
    """As on a GPU, where several tiles are computed at once and the last batch is filled up."""
    photo = rng.integers(0, 256, (130, 300, 3), np.uint8)
    single = fresh(tiny_restorer).sample_float(photo, draws=2, steps=2)
    monkeypatch.setattr(engine, "TILES_AT_ONCE", {"cpu": 5})
    several = fresh(tiny_restorer).sample_float(photo, draws=2, steps=2)
    np.testing.assert_allclose(several, single, atol=2e-4)


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
