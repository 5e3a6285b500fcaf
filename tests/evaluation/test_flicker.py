"""Flicker against numbers that are known."""

import math

import numpy as np
import pytest

from fftdiff_jax.data.rain_styles import sample_style
from fftdiff_jax.evaluation.flicker import flicker, moving_rain


def test_flicker_is_exact():
    clean = [np.full((32, 32, 3), level, np.uint8) for level in (100, 110, 100)]
    found = flicker(clean, clean)
    assert found == (10, 0, 0, math.inf)
    shifted = [frame + np.uint8(level) for frame, level in zip(clean, (0, 4, 0), strict=True)]
    found = flicker(shifted, clean)
    assert found[:3] == pytest.approx((14, 4, 4))
    assert found.psnr == pytest.approx(10 * math.log10(255**2 / (16 / 3)))
    # What is wrong within squares changes no tone.
    board = (np.indices((32, 32)).sum(axis=0) % 2 * 8)[..., None].astype(np.uint8)
    turned = [clean[0] + board, clean[0] + 8 - board]
    assert flicker(turned, [clean[0]] * 2)[:3] == pytest.approx((8, 8, 0))


def test_rain_moves_over_a_still_photo(rng):
    clean = np.full((64, 64, 3), 60, np.uint8)
    style = sample_style(rng, "near")
    frames = list(moving_rain(clean, rng, style, 4))
    assert len(frames) == 4
    rain = [frame.astype(int) - clean for frame in frames]
    assert np.abs(rain[1] - rain[0]).mean() > 1
    # The same rain in all frames, elsewhere.
    amounts = [one.mean() for one in rain]
    assert np.ptp(amounts) < 0.2 * np.mean(amounts)
