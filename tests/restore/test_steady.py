"""Neighbours in time: a mean where nothing moves, nothing where something does."""

import numpy as np
import pytest

from fftdiff_jax.restore.steady import steadied


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_still_frames_are_averaged_and_moving_ones_are_not(kind):
    full = 1 if kind == np.float32 else np.iinfo(kind).max
    levels = (100, 101, 100, 220)
    frames = [np.full((20, 20, 3), level / 255 * full).astype(kind) for level in levels]
    found = list(steadied(iter(frames)))
    assert [one.dtype for one in found] == [kind] * 4
    near = float(np.exp(-0.5 / 64))  # a level apart, of eight
    expected = [
        (100 + near * 101) / (1 + near),
        (101 + near * 200) / (1 + 2 * near),
        (100 + near * 101) / (1 + near),  # the last one is far away
        220,
    ]
    shown = [float(one.mean()) * 255 / full for one in found]
    np.testing.assert_allclose(shown, expected, atol=0.51 if kind == np.uint8 else 0.01)


def test_any_number_of_frames():
    frame = np.full((8, 8, 3), 7, np.uint8)
    for count in range(4):
        found = list(steadied([frame] * count))
        assert len(found) == count
        assert all(np.array_equal(one, frame) for one in found)
