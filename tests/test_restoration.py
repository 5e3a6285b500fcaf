"""The restorer on photos of any size: tiles, noise and blending."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import monitoring
from scipy import ndimage
from skimage import data

from fftdiff_jax import restoration, spectra
from fftdiff_jax.errors import UserError
from fftdiff_jax.metrics import score_photos


@settings(max_examples=60, deadline=None)
@given(side=st.integers(restoration.TILE, 3000))
def test_tiles_cover_a_side_and_their_weights_add_up_to_one(side):
    total = np.zeros(side)
    starts = sorted(restoration._tile_weights(side))
    for start, weights in restoration._tile_weights(side).items():
        total[start : start + restoration.TILE] += weights
        assert weights.min() >= 0
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert starts[0] == 0
    assert starts[-1] == side - restoration.TILE
    assert all(np.diff(starts) <= restoration.TILE - restoration.OVERLAP)


@pytest.mark.parametrize("size", [(16, 16), (1, 1), (255, 257), (300, 700)])
def test_tiles_of_an_untouched_photo_blend_to_the_photo(size, rng, tiny_restorer):
    """With a network that changes nothing the whole path returns the photo itself."""
    photo = rng.integers(0, 256, (*size, 3), np.uint8)
    restorer = restoration.Restorer(tiny_restorer._params, tiny_restorer.config)
    same = lambda params, rainy, white, key: rainy  # noqa: E731
    restorer._compile = lambda config: same
    np.testing.assert_array_equal(restorer(photo), photo)
    np.testing.assert_array_equal(restorer.sample(photo, draws=3), np.stack([photo] * 3))


def test_the_noise_of_a_pixel_is_the_same_in_every_tile():
    strips = restoration._NoiseStrips(seed=1, draw=2, width=600)
    one, below, beside = strips.tile(0, 0), strips.tile(100, 0), strips.tile(100, 300)
    np.testing.assert_array_equal(one[100:], below[:156])
    np.testing.assert_array_equal(below[:, 300:].shape[1:], (0, 3))
    again = restoration._NoiseStrips(seed=1, draw=2, width=600).tile(100, 300)
    np.testing.assert_array_equal(beside, again)
    other = restoration._NoiseStrips(seed=1, draw=3, width=600).tile(100, 300)
    assert np.abs(other - beside).max() > 1
    assert one.std() == pytest.approx(1, abs=0.01)


def test_overlapping_crops_of_one_noise_photo_decode_alike(rng):
    """The states of two crops differ; what they decode to agrees in detail where they overlap.

    Slow waves of the noise belong to a whole crop, so only what is finer than 4 pixels is compared.
    """
    table = spectra.DEFAULT_RAIN_SPECTRUM
    representation = spectra.LogRatio(True, table)
    photo = jnp.asarray(data.astronaut()[:128, 100:292], jnp.float32) / 255
    white = jnp.asarray(rng.standard_normal(photo.shape), jnp.float32)
    decoded = []
    for left in (0, 64):
        crop, noise = photo[:, left : left + 128], white[:, left : left + 128]
        state = 0.3 * spectra.turn_noise(noise, crop)
        decoded.append(representation.decode(state, crop) - crop)
    one, other = np.asarray(decoded[0][32:96, 80:112]), np.asarray(decoded[1][32:96, 16:48])
    one, other = (noise - ndimage.gaussian_filter(noise, (4, 4, 0)) for noise in (one, other))
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.85


def test_whole_photo_and_tiles_agree(tiny_restorer, monkeypatch):
    """Issue: seams. The same photo in one tile and in many scores within 0.1 dB of each other."""
    photo = data.astronaut()[:256, :256]
    whole = restoration.Restorer(tiny_restorer._params, tiny_restorer.config)(photo)
    monkeypatch.setattr(restoration, "TILE", 128)
    tiles = restoration.Restorer(tiny_restorer._params, tiny_restorer.config)(photo)
    assert score_photos(tiles, whole)["psnr_rgb"] > 45
    assert score_photos(whole, photo)["psnr_rgb"] < 35  # the network does change the photo


@pytest.mark.parametrize("size", [(16, 16), (37, 91), (260, 300)])
@pytest.mark.parametrize("steps", [1, 3])
def test_any_size_keeps_its_size(size, steps, rng, tiny_restorer):
    photo = rng.integers(0, 256, (*size, 3), np.uint8)
    restored = tiny_restorer(photo, steps=steps)
    assert restored.shape == photo.shape
    assert restored.dtype == np.uint8


def test_draws_differ_and_seeds_repeat(rng, tiny_restorer):
    photo = rng.integers(0, 256, (40, 50, 3), np.uint8)
    draws = tiny_restorer.sample_float(photo, draws=3, steps=3, seed=5)
    assert draws.shape == (3, 40, 50, 3)
    assert np.abs(draws[0] - draws[1]).max() > 0.01
    np.testing.assert_array_equal(
        draws, tiny_restorer.sample_float(photo, draws=3, steps=3, seed=5)
    )
    mean = tiny_restorer.mean_float(photo, draws=3, steps=3, seed=5)
    np.testing.assert_allclose(mean, draws.mean(axis=0), atol=1e-6)


def test_uncertainty_is_the_draws_spread(rng, tiny_restorer):
    photo = rng.integers(0, 256, (40, 50, 3), np.uint8)
    pixels, frequencies = tiny_restorer.uncertainty(photo, draws=4, steps=3)
    draws = tiny_restorer.sample_float(photo, draws=4, steps=3)
    np.testing.assert_allclose(pixels**2, draws.var(axis=0, ddof=1).mean(axis=-1), rtol=1e-4)
    # Parseval: an orthonormal transform keeps the total variance.
    np.testing.assert_allclose((frequencies**2).sum(), (pixels**2).sum(), rtol=1e-3)


def test_one_compilation_for_photos_of_all_sizes(rng, tiny_restorer):
    compiled = []

    def listen(event, seconds, **_):
        if event.endswith("backend_compile_duration"):
            compiled.append(seconds)

    monitoring.register_event_duration_secs_listener(listen)
    restorer = restoration.Restorer(tiny_restorer._params, tiny_restorer.config)
    restorer(rng.integers(0, 256, (16, 16, 3), np.uint8))
    assert compiled  # the listener hears compilations
    compiled.clear()
    for size in ((17, 40), (300, 280), (256, 513)):
        restorer(rng.integers(0, 256, (*size, 3), np.uint8))
    assert not compiled


@pytest.mark.parametrize(
    "photo",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
    ],
)
def test_what_is_no_photo_is_refused(photo, tiny_restorer):
    with pytest.raises(UserError, match="uint8"):
        tiny_restorer(photo)


def test_senseless_numbers_are_refused(tiny_restorer):
    photo = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(UserError, match="draws is 0"):
        tiny_restorer(photo, draws=0)
    with pytest.raises(UserError, match="steps is 0"):
        tiny_restorer(photo, steps=0)
    with pytest.raises(UserError, match="at least 2"):
        tiny_restorer.uncertainty(photo, draws=1)
