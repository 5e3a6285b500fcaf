"""Spectra and representations: exact round trips, bounds, finite gradients."""

from typing import get_args, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from fftdiff_jax.config import DiffusionConfig, RepresentationConfig, from_dict
from fftdiff_jax.errors import UserError
from fftdiff_jax.method import noises, rain_spectrum, representations, spectra

TABLE = rain_spectrum.DEFAULT_RAIN_SPECTRUM
REPRESENTATIONS = [
    representations.LogRatio(True, TABLE),
    representations.LogRatio(False, TABLE),
    representations.LogRatio(True, ()),
    representations.SignedLog(False, ()),
    representations.SignedLog(True, ()),
    representations.SignedLog(True, TABLE),
    representations.ComplexDifference(TABLE),
    representations.ComplexDifference(()),
]
# Few sizes, each odd in its own way: every new size is a new compilation.
SIZES = st.sampled_from([(1, 1), (1, 4), (7, 5), (8, 8), (16, 9)])
# Photos as files hold them: whole steps of 1/255, black and saturated areas included.
PHOTOS = SIZES.flatmap(
    lambda size: st.tuples(*(npst.arrays(np.uint8, (*size, 3)) for _ in range(2)))
)


def as_photo(pixels):
    return jnp.asarray(pixels, jnp.float32) / 255


@pytest.mark.parametrize("representation", REPRESENTATIONS, ids=repr)
@settings(max_examples=25, deadline=None)
@given(pair=PHOTOS)
def test_decode_undoes_encode_for_any_photos_and_sizes(representation, pair):
    clean, rainy = map(as_photo, pair)
    state = representation.encode(clean, rainy)
    assert state.shape == (*clean.shape[:-1], spectra.CHANNELS)
    assert bool(jnp.all(jnp.isfinite(state)))
    np.testing.assert_allclose(representation.decode(state, rainy), clean, atol=3e-5)


NUMBERS = npst.arrays(np.float32, 64, elements=st.floats(-1e4, 1e4, width=32))


@settings(max_examples=50, deadline=None)
@given(imag=NUMBERS, real=NUMBERS)
def test_angles_are_numpys(imag, real):
    numbers = (imag, real)
    found = np.asarray(spectra.angle(*map(jnp.asarray, numbers)), np.float64)
    # Numbers that float32 holds with fewer digits count as 0 on most devices.
    tiny = np.hypot(*numbers) < 1e-25
    expected = np.arctan2(*(number.astype(np.float64) for number in numbers))
    turns = np.abs(np.exp(1j * found) - np.exp(1j * expected))
    assert np.all(turns[~tiny] < 6e-7)
    assert np.all((found > -np.pi - 3e-7) & (found <= np.pi + 3e-7))


def test_angles_have_the_gradient_of_atan2_and_a_finite_one_at_zero():
    imag, real = jnp.asarray([1.0, -2.0, 3.0, 0.0]), jnp.asarray([-0.5, -1.0, 0.2, 0.0])
    slope = jax.grad(lambda y, x: jnp.sum(spectra.angle(y, x)), argnums=(0, 1))(imag, real)
    power = np.asarray([1.25, 5.0, 9.04, np.inf])
    np.testing.assert_allclose(slope[0], np.asarray(real) / power, rtol=1e-5)
    np.testing.assert_allclose(slope[1], -np.asarray(imag) / power, rtol=1e-5)


@pytest.mark.parametrize("representation", REPRESENTATIONS, ids=repr)
@pytest.mark.parametrize("clean", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("rainy", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("size", [(64, 64), (63, 37)])
def test_black_constant_and_saturated_photos(representation, clean, rainy, size):
    clean, rainy = jnp.full((*size, 3), clean), jnp.full((*size, 3), rainy)
    back = representation.decode(representation.encode(clean, rainy), rainy)
    np.testing.assert_allclose(back, clean, atol=3e-5)

    def distance(photo):
        decoded = representation.decode(representation.encode(photo, rainy), rainy)
        return jnp.sum(jnp.square(decoded))

    gradient = jax.grad(distance)(clean)
    assert bool(jnp.all(jnp.isfinite(gradient)))


@pytest.mark.parametrize("representation", REPRESENTATIONS, ids=repr)
def test_large_photo(representation, rng):
    clean, rainy = (jnp.asarray(rng.random((401, 322, 3)), jnp.float32) for _ in range(2))
    back = representation.decode(representation.encode(clean, rainy), rainy)
    np.testing.assert_allclose(back, clean, atol=3e-5)


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 4)])
def test_spectrum_is_orthonormal_and_centred(size, rng):
    photo = jnp.asarray(rng.random((*size, 3)), jnp.float32)
    spectrum = spectra.to_spectrum(photo)
    energy = jnp.sum(jnp.square(jnp.abs(spectrum)))
    np.testing.assert_allclose(energy, jnp.sum(jnp.square(photo)), rtol=1e-5)
    centre = spectrum[size[0] // 2, size[1] // 2]
    np.testing.assert_allclose(centre, photo.sum((0, 1)) / np.sqrt(size[0] * size[1]), rtol=1e-4)
    np.testing.assert_allclose(spectra.to_photo(spectrum), photo, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(pair=PHOTOS)
def test_signed_log_of_any_pair_lies_in_its_range(pair):
    clean, rainy = map(as_photo, pair)
    for wrapped in (True, False):
        state = representations.SignedLog(wrapped).encode(clean, rainy)
        assert float(jnp.max(jnp.abs(state))) <= 1 + 1e-5


@settings(max_examples=30, deadline=None)
@given(pair=PHOTOS)
def test_condition_lies_in_its_range(pair):
    values = spectra.condition(as_photo(pair[0]))
    assert float(jnp.max(jnp.abs(values))) <= 1 + 1e-5


def test_wrapped_and_raw_phase_differ_by_whole_turns(rng):
    clean, rainy = (jnp.asarray(rng.random((16, 16, 3)), jnp.float32) for _ in range(2))
    wrapped = representations.LogRatio(True).encode(clean, rainy)[..., 3:] * np.pi
    raw = representations.LogRatio(False).encode(clean, rainy)[..., 3:] * 2 * np.pi
    turns = (raw - wrapped) / (2 * np.pi)
    assert float(jnp.max(jnp.abs(turns - jnp.round(turns)))) < 1e-4
    assert float(jnp.max(jnp.abs(turns))) > 0.9  # some do differ


def test_small_condition_aware_states_are_differences_relative_to_rain(rng):
    """To first order the log ratio is the turned complex difference over rain's strength."""
    table = tuple(value / 10 for value in TABLE)  # a photo of noise is strong beside weak rain
    rainy = jnp.asarray(rng.random((32, 32, 3)), jnp.float32)
    clean = rainy + 1e-3 * jnp.asarray(rng.standard_normal((32, 32, 3)), jnp.float32)
    ratio = representations.LogRatio(True, table).encode(clean, rainy)
    ratio = ratio * jnp.repeat(
        jnp.array([representations.LEFT_OVER_MAGNITUDE, representations.LEFT_OVER_PHASE]), 3
    )
    complex_state = representations.ComplexDifference(table).encode(clean, rainy)
    # Only where the photo is much stronger than rain and than the floor of magnitudes.
    before = jnp.abs(spectra.to_spectrum(rainy))
    rain = jnp.asarray(rain_spectrum.rain_strength(table, 32, 32))
    strong = jnp.tile(before > 20 * jnp.maximum(rain, spectra.MAGNITUDE_FLOOR), (1, 1, 2))
    assert int(strong.sum()) > 100
    np.testing.assert_allclose(ratio[strong], complex_state[strong], atol=5e-3, rtol=0.05)


def test_noise_of_deviation_one_decodes_to_noise_as_strong_as_rain(rng):
    rainy = jnp.asarray(rng.random((64, 64, 3)), jnp.float32)
    noise = noises.draw_noise(noises.PhotoNoise(), jax.random.key(0), rainy)
    photo = representations.ComplexDifference(TABLE).decode(noise, rainy)
    power = jnp.square(jnp.abs(spectra.to_spectrum(photo - rainy))).mean(-1)
    rain = rain_spectrum.rain_strength(TABLE, 64, 64)[..., 0]
    # 2: a state's two halves have variance 1 each.
    np.testing.assert_allclose(jnp.mean(power / rain**2), 2.0, rtol=0.05)


def test_photo_noise_has_unit_variance_and_a_photos_symmetry():
    rainy = jnp.asarray(np.random.default_rng(0).random((64, 64, 3)), jnp.float32)
    noise = noises.draw_noise(noises.PhotoNoise(), jax.random.key(1), rainy)
    np.testing.assert_allclose(jnp.var(noise), 1.0, rtol=0.03)
    for representation in REPRESENTATIONS:
        if isinstance(representation, representations.ComplexDifference):
            spectrum = jnp.fft.fftshift(
                jnp.fft.fft2(representation.decode(noise, rainy), axes=(0, 1))
            )
            assert spectrum.shape == rainy.shape
    even, odd = noise[..., :3], noise[..., 3:]
    mirrored = jnp.roll(noise[::-1, ::-1], (1, 1), (0, 1))  # f -> -f of a centred, even-sized plane
    np.testing.assert_allclose(mirrored[..., :3], even, atol=1e-4)
    np.testing.assert_allclose(mirrored[..., 3:], -odd, atol=1e-4)


def test_measured_rain_spectrum_finds_the_noise_that_was_added(rng):
    """White noise of deviation s has |X - Y| = s at every frequency."""
    rainy = jnp.asarray(rng.random((64, 64, 64, 3)), jnp.float32)
    clean = rainy + 0.1 * jnp.asarray(rng.standard_normal(rainy.shape), jnp.float32)
    table = rain_spectrum.measure_rain_spectrum(clean, rainy)
    assert len(table) == 1 + len(rain_spectrum.KNOT_FREQUENCIES)
    np.testing.assert_allclose(table[0] * 64, 0.1, rtol=0.2)
    np.testing.assert_allclose(table[3:], 0.1, rtol=0.05)


@pytest.mark.parametrize("size", [(64, 64), (481, 321), (1, 1), (33, 2000)])
def test_rain_strength_is_continuous_in_frequency(size):
    strength = rain_spectrum.rain_strength(TABLE, *size)[..., 0]
    frequency = spectra.radial_frequency(*size)[..., 0]
    assert np.all(np.isfinite(strength))
    assert np.all(strength > 0)
    assert strength[frequency == 0][0] == pytest.approx(TABLE[0] * np.sqrt(size[0] * size[1]))
    order = np.argsort(frequency[frequency > 0])
    rising = np.diff(strength[frequency > 0][order])
    assert np.all(rising <= 1e-6)  # this table falls, so every interpolation of it does


def test_phase_of_nothing_is_nothing():
    def total(x):
        magnitude, phase = spectra.magnitude_and_phase(x.astype(jnp.complex64))
        return jnp.sum(magnitude + phase)

    zeros = jnp.zeros((2, 2, 3))
    assert float(total(zeros)) == 0
    assert bool(jnp.all(jnp.isfinite(jax.grad(total)(zeros))))


def test_every_choice_of_the_configuration_is_in_its_registry():
    names = get_args(get_type_hints(RepresentationConfig)["name"])
    assert set(names) == set(representations.REPRESENTATIONS)
    noise = get_args(get_type_hints(DiffusionConfig)["noise"])
    assert set(noise) == set(noises.NOISES)


@pytest.mark.parametrize(
    "wrong", [{"name": "wavelet"}, {"phase": "turned"}, {"normalisation": "best"}]
)
def test_unknown_choices_are_refused_in_one_line(wrong):
    with pytest.raises(UserError, match="known:") as caught:
        from_dict({"representation": wrong})
    assert "\n" not in str(caught.value)


def test_the_noise_of_a_pixel_is_the_same_in_every_tile_but_for_its_constant_term():
    places = jnp.asarray([[2, 0, 0], [2, 100, 30], [3, 100, 30]])
    one, moved, other = np.asarray(noises.placed_noise(jax.random.key(1), places, (160, 200)))
    shared = one[100:, 30:] - moved[:60, :170]
    np.testing.assert_allclose(shared, np.broadcast_to(shared[0, 0], shared.shape), atol=1e-5)
    # The constant term is one for all tiles of a draw, and as strong as that of any white noise.
    np.testing.assert_allclose(one.mean(axis=(0, 1)), moved.mean(axis=(0, 1)), atol=1e-6)
    draws = jnp.stack([jnp.arange(200), jnp.zeros(200, int), jnp.zeros(200, int)], axis=1)
    many = np.asarray(noises.placed_noise(jax.random.key(1), draws, (16, 16)))
    assert np.std(16 * many.mean(axis=(1, 2))) == pytest.approx(1, abs=5 / np.sqrt(2 * 600))
    assert np.abs(other - moved).max() > 1
    assert one.std() == pytest.approx(1, abs=5 / np.sqrt(2 * one.size))
    for axis in (0, 1, 2):  # neighbours in every direction know nothing of each other
        a, b = np.delete(one, 0, axis).ravel(), np.delete(one, -1, axis).ravel()
        assert np.corrcoef(a, b)[0, 1] == pytest.approx(0, abs=5 / np.sqrt(a.size))
