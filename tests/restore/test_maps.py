"""The map of where a restorer guesses: colours, the photo below them, and the legend."""

import numpy as np
import pytest

from fftdiff_jax.restore import maps


def test_colours_rise_with_the_spread_and_the_photo_stays_to_be_seen():
    photo = np.full((60, 300, 3), 128, np.uint8)
    photo[:, :150] = 255
    spread = np.repeat(np.linspace(0, 0.2, 60)[:, None], 300, axis=1)
    drawn = maps.guess_map(photo, spread)
    assert drawn.shape == (60 + maps.LEGEND, 300, 3)
    assert drawn.dtype == np.uint8
    brightness = drawn[:60].astype(float).mean(axis=-1)
    assert (np.diff(brightness[:, 200]) > -1).all()
    assert brightness[-1, 200] > brightness[0, 200] + 50
    assert (brightness[:, 50] > brightness[:, 250] + 5).all()  # light places stay lighter
    # From blue to yellow.
    assert drawn[0, 50, 2] > drawn[0, 50, 0]
    assert drawn[59, 50, 0] > drawn[59, 50, 2]


def test_a_sure_photo_is_not_stretched_until_rounding_shows():
    photo = np.full((40, 260, 3), 200, np.uint8)
    sure = maps.guess_map(photo, np.full((40, 260), 0.2 / 255))[:40]
    guessed = maps.guess_map(photo, np.full((40, 260), 20 / 255))[:40]
    assert sure.mean() < guessed.mean() - 40


@pytest.mark.parametrize("size", [(1, 1), (7, 30), (30, 199), (30, 200), (20, 900)])
def test_any_size_has_a_legend(size):
    photo = np.zeros((*size, 3), np.uint8)
    drawn = maps.guess_map(photo, np.zeros(size))
    assert drawn.shape == (size[0] + maps.LEGEND, size[1], 3)
    if size[1] >= 30:
        # The colours from left to right, and words below them.
        assert drawn[-maps.LEGEND, 0, 2] > drawn[-maps.LEGEND, -1, 2]
        assert drawn[-maps.LEGEND // 2 :].min() < 100
