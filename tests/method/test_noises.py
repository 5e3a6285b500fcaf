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
    """What of a latent is drawn by itself: a row a draw, of the smallest cells four corners."""
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
def test_a_picture_is_smooth_and_of_variance_1_everywhere(channel, cell):
    """Between corners too, where the mean of four of them would vary less."""
    draws = jnp.stack([jnp.arange(600), jnp.full(600, 37), jnp.full(600, 50)], axis=1)
    pictures = np.asarray(noises.placed_latent(KEY, draws, (12, 12)).pixels[..., channel])
    deviations = pictures.std(axis=0)
    assert deviations.min() > 0.85
    assert deviations.max() < 1.15
    for axis in (1, 2):
        steps = np.diff(pictures, axis=axis)
        # White noise would change by 1.4; the most that two independent corners change is 2/cell.
        assert steps.std() < 2.5 / cell
        assert steps.std() > 0.5 / cell


def test_draws_and_keys_have_numbers_and_pixels_of_their_own():
    ours = placed((2, 0, 0))
    for theirs in (placed((3, 0, 0)), placed((2, 0, 0), key=jax.random.key(2))):
        for a, b in zip(ours, theirs, strict=True):
            assert np.abs(a - b).max() > 1
    for a, b in zip(ours, placed((2, 0, 0)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_draws_latent_is_standard_and_knows_nothing_of_the_next_ones():
    found = placed(*((draw, 0, 0) for draw in range(400)), size=(9, 9))
    require_standard(independent(*found))


def test_training_sees_latents_of_the_same_kind_anywhere_in_a_photo():
    keys = jax.random.split(KEY, 400)
    found = jax.vmap(lambda key: noises.draw_latent(key, (9, 9)))(keys)
    assert found.numbers.shape == (400, noises.LATENT_NUMBERS)
    require_standard(np.asarray(found.numbers))
    require_standard(np.asarray(found.pixels)[:, 0, 0])
    # A corner of a cell may lie anywhere in a crop: on average no pixel is one more than others.
    changes = np.abs(np.diff(np.diff(np.asarray(found.pixels)[:, 0, :, 0], axis=1), axis=1))
    assert changes.mean(axis=0).max() < 1.5 * changes.mean(axis=0).min()
