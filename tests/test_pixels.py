"""Rounding, the middle of a photo, equal sizes."""

import numpy as np
import pytest

from fftdiff_jax import pixels
from fftdiff_jax.errors import UserError


def test_the_middle_is_the_middle():
    photo = np.arange(9 * 7 * 3, dtype=np.uint8).reshape(9, 7, 3)
    np.testing.assert_array_equal(pixels.centre_crop(photo, 3), photo[3:6, 2:5])
    np.testing.assert_array_equal(pixels.centre_crop(photo, 8), photo[:8])


@pytest.mark.parametrize(("bits", "kind", "largest"), [(8, np.uint8, 255), (16, np.uint16, 65535)])
def test_whole_numbers_are_the_nearest_ones(bits, kind, largest):
    photo = np.array([[[-0.2, 0.4 / largest, 0.6 / largest], [0.5, 1.0, 1.7]]])
    rounded = pixels.to_bits(photo, bits)
    assert rounded.dtype == kind
    assert rounded.ravel().tolist() == [0, 0, 1, (largest + 1) // 2, largest, largest]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_never_rounded(value):
    photo = np.full((4, 4, 3), 0.5)
    photo[2, 3, 1] = value
    for bits in (8, 16):
        with pytest.raises(UserError, match="not finite"):
            pixels.to_bits(photo, bits)


def test_other_depths_are_refused():
    with pytest.raises(UserError, match="bits is 12"):
        pixels.to_bits(np.zeros((1, 1, 3)), 12)


def test_unequal_sizes_are_refused_with_both():
    pixels.require_equal_sizes((3, 4, 3), (3, 4))
    with pytest.raises(UserError, match=r"a is 4 x 3 and b 3 x 4 pixels; they must be equal"):
        pixels.require_equal_sizes((3, 4, 3), (4, 3, 3), ("a", "b"))
