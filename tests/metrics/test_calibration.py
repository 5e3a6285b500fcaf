"""Coverage and spread against cases whose answer is known."""

import json

import numpy as np
import pytest

from fftdiff_jax.method import spectra
from fftdiff_jax.metrics import calibration


def gaussian_case(
    rng: np.random.Generator, draws: int, spread: float = 0.05, claimed: float = 1.0
) -> calibration.Diagnostics:
    """Truth and draws from one Gaussian a pixel, the draws' of `claimed` times its deviation."""
    shape = (60, 64, 3)
    centre = rng.uniform(0.35, 0.65, shape)
    truth = np.round(255 * (centre + spread * rng.standard_normal(shape))).astype(np.uint8)
    samples = centre + claimed * spread * rng.standard_normal((draws, *shape))
    rainy = np.clip(truth + 20.0, 0, 255).astype(np.uint8)
    return calibration.diagnose(rainy, samples.astype(np.float32), truth)


@pytest.mark.parametrize("draws", [2, 4, 8])
def test_a_calibrated_model_is_found_calibrated(rng: np.random.Generator, draws: int) -> None:
    found = calibration.calibrate([gaussian_case(rng, draws) for _ in range(4)])
    for level in calibration.LEVELS:
        assert found["coverage"][f"{100 * level:g}"] == pytest.approx(level, abs=0.02)
    assert found["scalar"] == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("claimed", [0.25, 0.5, 2.0])
def test_a_wrong_spread_is_corrected_by_one_scalar(
    rng: np.random.Generator, claimed: float
) -> None:
    parts = [gaussian_case(rng, 16, claimed=claimed) for _ in range(6)]
    found = calibration.calibrate(parts)
    # The truth's variance and that of the mean of the draws, over what the draws claim.
    right = np.sqrt((1 + claimed**2 / 16) / (claimed**2 * (1 + 1 / 16)))
    assert found["scalar"] == pytest.approx(right, rel=0.02)
    for level in calibration.LEVELS:
        name = f"{100 * level:g}"
        assert found["calibrated_coverage"][name] == pytest.approx(level, abs=0.02)
    assert (found["coverage"]["80"] < 0.8) == (claimed < 1)


def test_calibration_is_judged_on_photos_it_was_not_fitted_on(rng: np.random.Generator) -> None:
    honest = gaussian_case(rng, 8)
    far_off = gaussian_case(rng, 8, claimed=0.1)
    found = calibration.calibrate([honest, far_off])
    # Each photo gets the other one's scalar, which does not fit it.
    scalars = [calibration.fit_scalar(part) for part in (far_off, honest)]
    expected = [
        calibration.coverage(part, 0.8, scalar)
        for part, scalar in zip((honest, far_off), scalars, strict=True)
    ]
    assert found["calibrated_coverage"]["80"] == pytest.approx(np.mean(expected))
    assert abs(found["calibrated_coverage"]["80"] - 0.8) > 0.1


def test_one_photo_has_nothing_to_be_judged_on(rng: np.random.Generator) -> None:
    assert "calibrated_coverage" not in calibration.calibrate([gaussian_case(rng, 4)])


def test_draws_that_never_differ_do_not_divide_by_zero() -> None:
    truth = np.full((12, 12, 3), 200, np.uint8)
    same = np.full((3, 12, 12, 3), 0.5, np.float32)
    found = calibration.calibrate([calibration.diagnose(truth, same, truth)])
    assert found["coverage"]["95"] == 0
    assert np.isfinite(found["scalar"])


def test_spread_and_error_meet_in_the_same_bins(rng: np.random.Generator) -> None:
    part = gaussian_case(rng, 32)
    assert part.spread_share.sum() == pytest.approx(1)
    widths = calibration.SPREADS
    used = part.spread_share > 0.02
    error = np.sqrt(part.error_square[used] / part.spread_share[used])
    # Where truth is one more draw, the error's root mean square is the spread that was claimed.
    assert np.sqrt(part.error_square.sum()) == pytest.approx(0.05, rel=0.05)
    assert (error > widths[:-1][used] * 0.7).all()
    assert (error < widths[1:][used] * 1.4).all()


def test_white_noise_has_its_variance_at_every_frequency(rng: np.random.Generator) -> None:
    noise = 0.1 * rng.standard_normal((200, 201, 3))
    power = calibration.power_by_frequency(noise)
    # The innermost rings hold few coefficients.
    np.testing.assert_allclose(power[4:], 0.01, rtol=0.1)


@pytest.mark.parametrize("shape", [(33, 35), (31, 46), (17, 17), (46, 9)])
def test_rings_of_half_the_spectrum_are_those_of_the_whole(
    rng: np.random.Generator, shape: tuple[int, int]
) -> None:
    difference = rng.standard_normal((*shape, 3)).astype(np.float32)
    whole = np.square(np.abs(np.asarray(spectra.to_spectrum(difference)))).mean(axis=-1)
    frequency = spectra.radial_frequency(*shape)[..., 0]
    found = calibration.power_by_frequency(difference)
    edges = calibration.FREQUENCIES
    # Sides without a divisor of 64: no frequency lies on an edge, where float32 could move it.
    for ring in range(len(edges) - 1):
        inside = (frequency >= edges[ring]) & (frequency < edges[ring + 1]) & (frequency > 0)
        if inside.any():
            assert found[ring] == pytest.approx(whole[inside].mean(), rel=1e-4)
        else:
            assert np.isnan(found[ring])


def test_a_wave_shows_in_its_own_ring() -> None:
    columns = np.arange(128)
    wave = np.sin(2 * np.pi * 0.3 * columns)[None, :, None] * np.ones((96, 1, 1))
    power = calibration.power_by_frequency(wave)
    assert calibration.FREQUENCIES[np.nanargmax(power)] == pytest.approx(0.3, abs=1 / 64)


def test_averages_pass_over_rings_that_a_small_photo_lacks(rng: np.random.Generator) -> None:
    small = np.zeros((12, 12, 3), np.uint8)
    tiny = calibration.diagnose(small, np.full((1, 12, 12, 3), 0.5, np.float32), small)
    assert np.isnan(tiny.restored_power).any()
    large = np.zeros((64, 64, 3), np.uint8)
    samples = rng.uniform(0, 1, (1, 64, 64, 3)).astype(np.float32)
    both = calibration.average([tiny, calibration.diagnose(large, samples, large)])
    assert np.isfinite(both.restored_power[1:]).all()


@pytest.mark.parametrize("draws", [1, 3])
def test_records_survive_json(rng: np.random.Generator, draws: int) -> None:
    part = gaussian_case(rng, draws)
    again = calibration.Diagnostics.from_dict(json.loads(json.dumps(part.to_dict())))
    assert again.draws == draws
    np.testing.assert_allclose(again.restored_power, part.restored_power, rtol=1e-5)
    np.testing.assert_allclose(again.ratio_share, part.ratio_share, rtol=1e-5)
