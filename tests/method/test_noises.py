"""The latent of a draw: numbers that a whole photo shares, pictures that are bound to places."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fftdiff_jax.method import noises

KEY = jax.random.key(1)


def placed(*origins, key=KEY, size=(40, 36)):
    found = noises.placed_latent(key, jnp.asarray(origins), size)
    return np.asarray(found.numbers), np.asarray(found.pixels)


def independent(numbers, pixels):
    """What of a latent is drawn by itself: a row a draw, of the smallest cells four."""
    cell = noises.CELLS[0]
    smallest = pixels[:, : 2 * cell : cell, : 2 * cell : cell, 0].reshape(len(pixels), -1)
    return np.concatenate([numbers, smallest, pixels[:, 0, 0, 1:]], axis=1)


def require_standard(rows):
    """Standard normal, and no column knows anything of another, or of the next row's."""
    count, width = rows.shape
    assert rows.mean() == pytest.approx(0, abs=5 / np.sqrt(rows.size))
    assert rows.std() == pytest.approx(1, abs=5 / np.sqrt(2 * rows.size))
    assert np.abs(np.corrcoef(rows.T) - np.eye(width)).max() < 6 / np.sqrt(count)
    assert np.mean(rows[1:] * rows[:-1]) == pytest.approx(0, abs=5 / np.sqrt(rows.size))


def test_tiles_of_a_draw_share_their_numbers_and_pixels_go_by_place():
    numbers, pixels = placed((2, 0, 0), (2, 5, 7))
    assert numbers.shape == (2, noises.LATENT_NUMBERS)
    np.testing.assert_array_equal(numbers[0], numbers[1])
    np.testing.assert_array_equal(pixels[0, 5:, 7:], pixels[1, :-5, :-7])
    assert np.abs(pixels[0] - pixels[1]).max() > 1


@pytest.mark.parametrize(("channel", "cell"), list(enumerate(noises.CELLS)))
def test_a_picture_is_constant_over_cells_of_the_whole_photo(channel, cell):
    top, left = 37, 50
    picture = placed((0, top, left))[1][0, ..., channel]
    for axis, start in ((0, top), (1, left)):
        changes = np.abs(np.diff(picture, axis=axis)).max(axis=1 - axis) > 0
        ends = (start + 1 + np.arange(len(changes))) % cell == 0
        np.testing.assert_array_equal(changes, ends)


def test_draws_and_keys_have_numbers_and_pixels_of_their_own():
    ours = placed((2, 0, 0))
    for theirs in (placed((3, 0, 0)), placed((2, 0, 0), key=jax.random.key(2))):
        for a, b in zip(ours, theirs, strict=True):
            assert np.abs(a - b).max() > 1
    for a, b in zip(ours, placed((2, 0, 0)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_draws_latent_is_standard_and_knows_nothing_of_the_next_ones():
    found = placed(*((draw, 0, 0) for draw in range(400)), size=(8, 8))
    require_standard(independent(*found))


def test_training_sees_latents_of_the_same_kind_anywhere_in_a_photo():
    keys = jax.random.split(KEY, 400)
    largest = max(noises.CELLS)
    found = jax.vmap(lambda key: noises.draw_latent(key, (8, largest + 1)))(keys)
    assert found.numbers.shape == (400, noises.LATENT_NUMBERS)
    pixels = np.asarray(found.pixels)
    require_standard(independent(np.asarray(found.numbers), pixels)[:, noises.LATENT_NUMBERS :])
    require_standard(np.asarray(found.numbers))
    # In so many columns one of the largest cells ends, wherever the crop begins.
    ends = [np.flatnonzero(np.abs(np.diff(one[0, :, -1])) > 0) for one in pixels]
    assert set(map(len, ends)) == {1}
    assert len({int(end[0]) for end in ends}) > 0.9 * largest
