"""The restorer on photos of any size: draws, their mean and spread, images, refusals."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from skimage import data

from fftdiff_jax.config import Config, DiffusionConfig, ModelConfig, SamplingConfig
from fftdiff_jax.errors import UserError
from fftdiff_jax.method.method import make_method
from fftdiff_jax.metrics import draws as drawing
from fftdiff_jax.pixels import to_uint8
from fftdiff_jax.restore import tile_programs, tiling
from fftdiff_jax.restore.restorer import Restorer


def fresh(restorer):
    return Restorer(restorer.params, restorer.config)


def test_a_mirrored_look_does_not_prefer_a_side(tiny_restorer):
    """The mean of the photo's answer and the mirrored photo's, mirrored back."""
    photo = data.astronaut()[:128, 100:228]
    mirrored = np.ascontiguousarray(photo[:, ::-1])
    once = [tiny_restorer.sample_float(p)[0] for p in (photo, mirrored)]
    twice = tiny_restorer.with_sampling(mirror=True)
    both = [twice.sample_float(p)[0] for p in (photo, mirrored)]
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
        {"realism": 0.5, "steps": 1},
        {"mirror": True, "steps": 2},
        {"sampler": "ddpm"},
        pytest.param({"sampler": "dpm_solver"}, marks=pytest.mark.slow),
        pytest.param({"eta": 1.0}, marks=pytest.mark.slow),
    ],
)
def test_a_whole_draw_of_one_tile_is_the_steps_that_photos_take(changes, tiny_restorer):
    """Nothing is blended with a single tile; only compilation tells the two programs apart."""
    photo = data.astronaut()[:128, 100:228]
    restorer = tiny_restorer.with_sampling(**{"steps": 3, **changes})
    found = restorer.sample_float(photo, draws=2)
    method, sampling = make_method(restorer.config), restorer.config.sampling
    rainy = jnp.asarray(photo[None], jnp.float32) / 255
    draw = jax.jit(tile_programs.make_draw(method, sampling))
    draws = [
        draw(restorer.params, rainy, jnp.asarray([[number, 0, 0]]), jax.random.key(0))[0]
        for number in (0, 1)
    ]
    assert np.abs(found - np.stack(draws)).max() < 2e-4
    assert np.abs(draws[0] - draws[1]).max() > 1e-2


@pytest.mark.parametrize("size", [(16, 16), (37, 91), (260, 300)])
@pytest.mark.parametrize("steps", [1, 3])
def test_any_size_keeps_its_size(size, steps, rng, tiny_restorer):
    photo = rng.integers(0, 256, (*size, 3), np.uint8)
    restored = tiny_restorer(photo, steps=steps, draws=1)
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
    best, spread = tiny_restorer.with_spread(photo, draws=3, steps=3, seed=5, bits=16)
    np.testing.assert_array_equal(best, tiny_restorer(photo, draws=0, bits=16))
    variance = draws.var(axis=0, ddof=1).mean(axis=-1)
    np.testing.assert_allclose(spread**2, variance, rtol=1e-3, atol=1e-9)


def test_without_draws_the_photo_is_the_first_estimate(rng, tiny_restorer):
    """Which is the default, and does not depend on steps, seeds or the denoiser."""
    photo = rng.integers(0, 256, (40, 50, 3), np.uint8)
    method, rainy = make_method(tiny_restorer.config), jnp.asarray(photo[None]) / np.float32(255)
    padded = jnp.asarray(tiling.pad(photo, 128, method.stride)[None]) / np.float32(255)
    first = method.estimate(tiny_restorer.params, padded)[0, :40, :50]
    found = tiny_restorer.sample_float(photo)
    assert found.shape == (1, 40, 50, 3)
    np.testing.assert_allclose(found[0], np.clip(first, 0, 1), atol=1e-5)
    assert np.abs(found[0] - rainy[0]).max() > 0.01
    np.testing.assert_array_equal(found, tiny_restorer.sample_float(photo, steps=3, seed=9))
    np.testing.assert_array_equal(to_uint8(found[0]), tiny_restorer(photo, draws=0))
    alone = dataclasses.replace(tiny_restorer.config, diffusion=DiffusionConfig(draw_share=0.0))
    without = Restorer({"first": tiny_restorer.params["first"]}, alone)
    np.testing.assert_array_equal(without(photo), tiny_restorer(photo))


def test_weights_without_a_denoiser_draw_nothing_and_say_so(tiny_restorer):
    alone = dataclasses.replace(tiny_restorer.config, diffusion=DiffusionConfig(draw_share=0.0))
    restorer = Restorer({"first": tiny_restorer.params["first"]}, alone, name="mine")
    photo = np.zeros((8, 8, 3), np.uint8)
    for asked in (restorer.sample, restorer.with_spread, restorer.uncertainty, restorer):
        with pytest.raises(UserError, match=r"^mine: .*the first estimate alone") as refused:
            asked(photo, draws=2)
        assert "\n" not in str(refused.value)


def test_what_predicts_states_has_draws_alone(rng):
    """Then the best photo is their mean."""
    config = Config(
        model=ModelConfig(prediction="direct", widths=(8, 16), blocks=(1, 1)),
        sampling=SamplingConfig(draws=2, steps=2),
    )
    params = make_method(config).init(jax.random.key(0))
    # Nothing is drawn by an exit layer of zeros.
    shaken = jax.tree.map(lambda x: x + 0.02 * rng.standard_normal(x.shape, np.float32), params)
    restorer = Restorer(shaken, config)
    photo = rng.integers(0, 256, (24, 20, 3), np.uint8)
    draws = restorer.sample_float(photo)
    assert draws.shape == (2, 24, 20, 3)
    assert np.abs(draws[0] - draws[1]).max() > 0.01
    best, _ = restorer.with_spread(photo, draws=2)
    np.testing.assert_array_equal(best, to_uint8(draws.mean(axis=0)))
    np.testing.assert_array_equal(restorer(photo), best)
    with pytest.raises(UserError, match="no first estimate"):
        restorer(photo, draws=0)


def test_uncertainty_is_the_draws_spread(rng, tiny_restorer):
    photo = rng.integers(0, 256, (40, 50, 3), np.uint8)
    pixels, frequencies = tiny_restorer.uncertainty(photo, draws=6, steps=3)
    draws = tiny_restorer.sample_float(photo, draws=6, steps=3)
    variance = draws.var(axis=0, ddof=1)
    np.testing.assert_allclose(pixels**2, variance.mean(axis=-1), rtol=1e-3, atol=1e-9)
    # Parseval: an orthonormal transform keeps the total variance.
    np.testing.assert_allclose((frequencies**2).sum(), (pixels**2).sum(), rtol=1e-3)


def test_variants_are_the_draws_that_differ_most(rng, tiny_restorer):
    photo = rng.integers(0, 256, (40, 50, 3), np.uint8)
    found = tiny_restorer.variants(photo, draws=5, shown=3, steps=2, seed=4)
    best, spread = tiny_restorer.with_spread(photo, draws=5, steps=2, seed=4)
    np.testing.assert_array_equal(found.best, best)
    np.testing.assert_array_equal(found.spread, spread)
    draws = tiny_restorer.sample_float(photo, draws=5, steps=2, seed=4)
    squares = np.square(draws[:, None] - draws[None]).mean(axis=(2, 3, 4))
    chosen = drawing.most_different(squares, 3)
    np.testing.assert_array_equal(found.draws, to_uint8(draws[chosen]))
    assert tiny_restorer.variants(photo.astype(np.uint16), draws=2).draws.dtype == np.uint16
    with pytest.raises(UserError, match="at least 2"):
        tiny_restorer.variants(photo, draws=1)


@pytest.mark.parametrize(
    "photo",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.full((8, 8, 3), 200, np.float32),
        np.zeros((8, 8, 3), np.int64),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_what_is_no_photo_is_refused(photo, tiny_restorer):
    with pytest.raises(UserError, match="a photo"):
        tiny_restorer(photo)


def test_senseless_numbers_are_refused(tiny_restorer):
    photo = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(UserError, match="draws is -1"):
        tiny_restorer.sample(photo, draws=-1)
    with pytest.raises(UserError, match="bits is 12"):
        tiny_restorer(photo, bits=12)
    with pytest.raises(UserError, match="steps is 0"):
        tiny_restorer(photo, steps=0)
    with pytest.raises(UserError, match="at least 2"):
        tiny_restorer.uncertainty(photo, draws=1)
    with pytest.raises(UserError, match="at least 2"):
        tiny_restorer.with_spread(photo, draws=1)


@pytest.mark.parametrize("steps", [1, 3])
def test_realism_is_a_dial_from_the_best_photo_to_draws(steps, tiny_restorer, rng):
    """Linear, before photos are cut off at black and white."""
    photo = rng.integers(0, 256, (48, 40, 3), np.uint8)
    first = tiny_restorer.sample_float(photo)[0]
    none, half, whole = (
        tiny_restorer.with_sampling(realism=realism).sample_float(photo, draws=2, steps=steps)
        for realism in (0.0, 0.5, 1.0)
    )
    np.testing.assert_array_equal(none, np.stack([first, first]))
    assert np.abs(whole - first).max() > 0.01
    ends = np.stack([np.broadcast_to(first, whole.shape), whole])
    inside = (ends > 0).all(axis=0) & (ends < 1).all(axis=0)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(half[inside], ends.mean(axis=0)[inside], atol=1e-5)
    # Half way between what was cut off and what was not lies not always half of it.
    assert np.abs(half - ends.mean(axis=0)).max() > 1e-3


def test_one_step_is_a_draw(tiny_restorer, rng):
    photo = rng.integers(0, 256, (24, 20, 3), np.uint8)
    pixels, _ = tiny_restorer.uncertainty(photo, draws=2, steps=1)
    assert pixels.max() > 0.01
    assert tiny_restorer.default_steps == 1
    np.testing.assert_array_equal(pixels, tiny_restorer.uncertainty(photo, draws=2)[0])


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
