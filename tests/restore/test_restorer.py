"""The restorer on photos of any size: tiles, noise and blending."""

import dataclasses
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import monitoring
from PIL import Image
from scipy import ndimage
from skimage import data

from fftdiff_jax.config import Config, DiffusionConfig, ModelConfig, SamplingConfig
from fftdiff_jax.errors import UserError
from fftdiff_jax.method import noises, rain_spectrum, representations
from fftdiff_jax.method.method import make_method
from fftdiff_jax.metrics import draws as drawing
from fftdiff_jax.metrics.scores import score_photos
from fftdiff_jax.pixels import to_uint8
from fftdiff_jax.restore import engine, tile_programs, tiling
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


@pytest.mark.parametrize(("draws", "steps"), [(0, 1), (2, 1), (2, 4)])
def test_no_seam_can_be_seen(draws, steps, monkeypatch):
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
        restorer = Restorer.pretrained()
        change = restorer.sample_float(photo, steps=steps, draws=draws) - photo / 255
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
    # The first estimate once for both draws, then three steps of each.
    shape = (1, 1, 192, 192, 3)
    assert seen.count(("first", shape)) == 6
    assert seen.count(("step", shape)) == 2 * 3 * 6
    assert len(seen) == 42
    seen.clear()
    restorer(np.zeros((321, 481, 3), np.uint8), steps=3)
    assert seen == 6 * [("first", shape)]


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
    restorer = fresh(tiny_restorer).with_sampling(**{"steps": 3, **changes})
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


def test_a_full_batch_and_the_rest_give_what_single_tiles_give(rng, tiny_restorer, monkeypatch):
    """As on a GPU, where several tiles are computed at once and the last batch is filled up."""
    photo = rng.integers(0, 256, (130, 300, 3), np.uint8)
    single = fresh(tiny_restorer).sample_float(photo, draws=2, steps=2)
    monkeypatch.setattr(engine, "TILES_AT_ONCE", {"cpu": 5})
    several = fresh(tiny_restorer).sample_float(photo, draws=2, steps=2)
    np.testing.assert_allclose(several, single, atol=2e-4)


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
    assert tiny_restorer.variants(photo, draws=2, bits=16).draws.dtype == np.uint16
    with pytest.raises(UserError, match="at least 2"):
        tiny_restorer.variants(photo, draws=1)


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
