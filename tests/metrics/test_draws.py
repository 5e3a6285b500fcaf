"""What draws say together, for draws whose variances are known."""

import numpy as np
import pytest

from fftdiff_jax.errors import UserError
from fftdiff_jax.metrics import draws as drawing


@pytest.mark.parametrize("count", [2, 3, 9])
def test_the_variance_of_a_draw_is_unbiased(count, rng):
    draws = 5.0 + 2.0 * rng.standard_normal((count, 400, 500))
    assert drawing.variance(draws).mean() == pytest.approx(4.0, rel=0.02)


def test_the_spread_is_the_root_mean_square_over_the_colours(rng):
    stds = np.array([1.0, 2.0, 4.0])
    found = drawing.spread(stds * rng.standard_normal((200, 40, 50, 3)))
    assert found.shape == (40, 50)
    assert np.sqrt(np.square(found).mean()) == pytest.approx(np.sqrt(21 / 3), rel=0.01)
    two = np.zeros((2, 1, 1, 3))
    two[1] = 1.0
    np.testing.assert_allclose(drawing.spread(two), np.sqrt(0.5))


def test_one_draw_has_no_spread():
    with pytest.raises(UserError, match="at least 2"):
        drawing.spread(np.zeros((1, 4, 4, 3)))


def test_the_draws_that_are_shown_lie_far_apart():
    """On a line: its two ends, then the one that is furthest from both, and so on."""
    places = np.array([0.0, 1.0, 5.0, 5.1, 10.0])
    squares = np.square(places[:, None] - places[None])
    for count, expected in ((2, [0, 4]), (3, [0, 4, 2]), (4, [0, 4, 2, 1]), (9, [0, 4, 2, 1, 3])):
        assert drawing.most_different(squares, count) == expected
