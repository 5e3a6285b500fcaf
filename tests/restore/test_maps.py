"""The map of where a restorer guesses."""

import numpy as np

from fftdiff_jax.restore import maps


def test_a_map_is_the_photo_in_colours_of_the_spread_above_a_legend(rng):
    photo = np.full((40, 300, 3), 255, np.uint8)
    spread = np.zeros((40, 300), np.float32)
    spread[:, 150:] = 20 / 255
    found = maps.guess_map(photo, spread)
    assert found.shape == (40 + maps.LEGEND, 300, 3)
    assert found.dtype == np.uint8
    sure, guessed = found[20, 10], found[20, 200]
    np.testing.assert_allclose(sure, maps.COLOURS[0], atol=1)
    np.testing.assert_allclose(guessed, maps.COLOURS[-1], atol=1)
    # What it means stands below, and the photo's darks stay to be seen.
    assert (found[40:] == 0).any()
    dark = maps.guess_map(np.zeros_like(photo), spread)
    assert 0 < dark[20, 200].sum() < found[20, 200].sum()


def test_a_small_spread_is_not_stretched_to_the_whole_scale():
    photo = np.full((40, 60, 3), 255, np.uint8)
    found = maps.guess_map(photo, np.full((40, 60), maps.LEAST_FULL / 2 / 255, np.float32))
    half = [
        np.interp(0.5, np.linspace(0, 1, 6), channel) for channel in zip(*maps.COLOURS, strict=True)
    ]
    np.testing.assert_allclose(found[20, 30], half, atol=1)
