"""The restorer on photos of any size: draws, their mean and spread, images, refusals."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from skimage import data

from fftdiff_jax.errors import UserError
from fftdiff_jax.method.method import make_method
from fftdiff_jax.metrics import draws as drawing
from fftdiff_jax.restore import tile_programs


def test_a_mirrored_look_does_not_prefer_a_side(tiny_restorer):
    """The mean of the photo's answer and the mirrored photo's, mirrored back."""
    photo = data.astronaut()[:128, 100:228]
    mirrored = np.ascontiguousarray(photo[:, ::-1])
    once = [tiny_restorer.sample_float(p, draws=1)[0] for p in (photo, mirrored)]
    twice = tiny_restorer.with_sampling(mirror=True)
    both = [twice.sample_float(p, draws=1)[0] for p in (photo, mirrored)]
    assert np.abs(once[0] - once[1][:, ::-1]).max() > 1e-3
    np.testing.assert_allclose(both[0], both[1][:, ::-1], atol=1e-5)
    once_back = once[0], once[1][:, ::-1]
    middle = sum(once_back) / 2
    inside = np.minimum(*once_back) > 0
    inside &= np.maximum(*once_back) < 1  # where clipping changes nothing
    np.testing.assert_allclose(both[0][inside], middle[inside], atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"noise_scale": 0.5},
        {"mirror": True, "steps": 2},
        {"sampler": "ddpm"},
        pytest.param({"resample": False}, marks=pytest.mark.slow),
        pytest.param({"sampler": "dpm_solver"}, marks=pytest.mark.slow),
        pytest.param({"eta": 1.0}, marks=pytest.mark.slow),
    ],
)
def test_a_whole_draw_of_one_tile_is_the_steps_that_photos_take(changes, tiny_restorer):
    """Nothing is blended with a single tile; only compilation tells the two programs apart."""
    photo = data.astronaut()[:128, 100:228]
    restorer = tiny_restorer.with_sampling(**{"steps": 3, **changes})
    found = restorer.sample_float(photo, draws=2)
    sampling_config = restorer.config.sampling
    rainy = jnp.asarray(photo[None], jnp.float32) / 255

    def scanned(steps, draws):
        some = dataclasses.replace(sampling_config, steps=steps)
        sampler = jax.jit(tile_programs.make_draw(make_method(restorer.config), some))
        origins = [jnp.asarray([[draw, 0, 0]]) for draw in draws]
        found = [sampler(restorer.params, rainy, one, jax.random.key(0))[0] for one in origins]
        return np.stack(found)

    (first,) = scanned(1, [0])
    draws = np.clip(drawing.centred(scanned(sampling_config.steps, [0, 1]), first), 0, 1)
    assert np.abs(found - draws).max() < 2e-4


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
    # A draw is the same whatever others are asked for.
    one = tiny_restorer.sample_float(photo, draws=1, steps=3, seed=5)
    np.testing.assert_array_equal(one[0], draws[0])
    mean = tiny_restorer(photo, draws=3, steps=3, seed=5, bits=16)
    np.testing.assert_allclose(mean / 65535, draws.mean(axis=0), atol=1e-5)
    mean, spread = tiny_restorer.with_spread(photo, draws=3, steps=3, seed=5, bits=16)
    np.testing.assert_allclose(mean / 65535, draws.mean(axis=0), atol=1e-5)
    # A third draw has no pair, and tells nothing of the spread.
    half = (draws[0] - draws[1]) / 2
    np.testing.assert_allclose(spread**2, np.square(half).mean(axis=-1), rtol=1e-3, atol=1e-9)


def test_the_mean_of_pairs_is_the_first_estimate(tiny_restorer):
    """Wherever no draw is cut off at black or white."""
    photo = (data.astronaut()[:128, 100:228] // 4 + 96).astype(np.uint8)
    draws = tiny_restorer.sample_float(photo, draws=4, steps=3)
    first = tiny_restorer.sample_float(photo, draws=1, steps=1)[0]
    inside = ((draws > 0) & (draws < 1)).all(axis=0)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(draws.mean(axis=0)[inside], first[inside], atol=1e-5)
    assert np.abs(draws[0] - first)[inside].max() > 0.01


def test_uncertainty_is_the_draws_spread(rng, tiny_restorer):
    photo = rng.integers(0, 256, (40, 50, 3), np.uint8)
    pixels, frequencies = tiny_restorer.uncertainty(photo, draws=6, steps=3)
    draws = tiny_restorer.sample_float(photo, draws=6, steps=3)
    halves, means = (draws[::2] - draws[1::2]) / 2, (draws[::2] + draws[1::2]) / 2
    variance = np.square(halves).mean(axis=0) + means.var(axis=0, ddof=1)
    np.testing.assert_allclose(pixels**2, variance.mean(axis=-1), rtol=1e-3, atol=1e-9)
    # Parseval: an orthonormal transform keeps the total variance.
    np.testing.assert_allclose((frequencies**2).sum(), (pixels**2).sum(), rtol=1e-3)


@pytest.mark.parametrize(
    "photo",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_what_is_no_photo_is_refused(photo, tiny_restorer):
    with pytest.raises(UserError, match="a photo"):
        tiny_restorer(photo)


def test_senseless_numbers_are_refused(tiny_restorer):
    photo = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(UserError, match="draws is 0"):
        tiny_restorer(photo, draws=0)
    with pytest.raises(UserError, match="draws is -1"):
        tiny_restorer.sample(photo, draws=-1)
    with pytest.raises(UserError, match="bits is 12"):
        tiny_restorer(photo, bits=12)
    with pytest.raises(UserError, match="steps is 0"):
        tiny_restorer(photo, steps=0)
    with pytest.raises(UserError, match="at least 2"):
        tiny_restorer.uncertainty(photo, draws=1)
    with pytest.raises(UserError, match="one step draws nothing"):
        tiny_restorer.with_spread(photo, draws=2, steps=1)
    with pytest.raises(UserError, match="every draw is the same photo"):
        tiny_restorer.with_sampling(noise_scale=0.0).uncertainty(photo)


def test_the_noise_scale_is_a_dial_from_the_best_photo_to_draws(tiny_restorer, rng):
    photo = rng.integers(0, 256, (48, 40, 3), np.uint8)
    first = tiny_restorer.sample_float(photo, draws=1, steps=1)[0]
    spreads = []
    for scale in (0.0, 0.5, 1.0):
        dialled = tiny_restorer.with_sampling(noise_scale=scale)
        draws = dialled.sample_float(photo, draws=2, steps=3)
        np.testing.assert_allclose(draws.mean(axis=0), first, atol=0.1)  # but for the clipping
        spreads.append(drawing.spread(draws).mean())
        if scale == 0:
            np.testing.assert_array_equal(draws, np.stack([first, first]))
    assert spreads[0] == 0
    assert spreads[0] < spreads[1] < spreads[2]


def test_a_spread_takes_more_than_the_one_step_of_a_restored_photo(tiny_restorer, rng):
    photo = rng.integers(0, 256, (24, 20, 3), np.uint8)
    assert tiny_restorer.with_sampling(steps=1).default_steps == 1
    pixels, _ = tiny_restorer.with_sampling(steps=1).uncertainty(photo, draws=2)
    four, _ = tiny_restorer.uncertainty(photo, draws=2, steps=4)
    assert pixels.max() > 0
    np.testing.assert_array_equal(pixels, four)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P"])
def test_an_image_comes_back_as_an_image(mode, tiny_restorer, rng):
    pixels = Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8))
    image = pixels.convert(mode)
    if mode.endswith("A"):
        image.putalpha(Image.fromarray(rng.integers(0, 256, (24, 20), np.uint8)))
    image.info["icc_profile"] = b"profile"
    restored = tiny_restorer(image)
    assert restored.size == image.size
    assert restored.mode == ("RGB" if mode == "P" else mode)
    assert restored.info["icc_profile"] == b"profile"
    if mode.endswith("A"):
        assert restored.getchannel("A").tobytes() == image.getchannel("A").tobytes()
    if mode == "RGB":
        np.testing.assert_array_equal(restored, tiny_restorer(np.asarray(image)))


def test_a_setting_is_checked_when_it_is_asked_for(tiny_restorer):
    with pytest.raises(UserError, match="known: ddim, ddpm, dpm_solver"):
        tiny_restorer.with_sampling(sampler="euler")
    with pytest.raises(UserError, match=r"did you mean sampling\.steps"):
        tiny_restorer.with_sampling(step=3)
