"""Noise that is bound to places, and the latent numbers of a draw."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fftdiff_jax.method import noises

KEY = jax.random.key(1)


def placed(*origins, key=KEY, size=(16, 12)):
    found = noises.placed_latent(key, jnp.asarray(origins), size)
    return np.asarray(found.numbers), np.asarray(found.pixels)


def test_tiles_of_a_draw_share_their_numbers_and_pixels_go_by_place():
    numbers, pixels = placed((2, 0, 0), (2, 5, 7))
    assert numbers.shape == (2, noises.LATENT_NUMBERS)
    np.testing.assert_array_equal(numbers[0], numbers[1])
    shared = pixels[0, 5:, 7:] - pixels[1, :-5, :-7]  # the constant term alone differs
    np.testing.assert_allclose(shared, np.broadcast_to(shared[0, 0], shared.shape), atol=1e-5)
    assert np.abs(pixels[0] - pixels[1]).max() > 1


def test_draws_and_keys_have_numbers_and_pixels_of_their_own():
    ours = placed((2, 0, 0))
    for theirs in (placed((3, 0, 0)), placed((2, 0, 0), key=jax.random.key(2))):
        for a, b in zip(ours, theirs, strict=True):
            assert np.abs(a - b).max() > 1
    for a, b in zip(ours, placed((2, 0, 0)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_draws_latent_is_standard_and_knows_nothing_of_the_next_ones():
    numbers, pixels = placed(*((draw, 0, 0) for draw in range(400)), size=(4, 4))
    for part in (numbers, pixels.reshape(400, -1)):
        assert part.mean() == pytest.approx(0, abs=5 / np.sqrt(part.size))
        assert part.std() == pytest.approx(1, abs=5 / np.sqrt(2 * part.size))
        between = np.corrcoef(part.T) - np.eye(part.shape[1])
        assert np.abs(between).max() < 6 / np.sqrt(400)
        after = np.mean(part[1:] * part[:-1])
        assert after == pytest.approx(0, abs=5 / np.sqrt(part.size))
    both = np.corrcoef(numbers.T, pixels.reshape(400, -1).T)[: numbers.shape[1], numbers.shape[1] :]
    assert np.abs(both).max() < 6 / np.sqrt(400)


def test_training_and_drawing_see_latents_of_one_kind():
    keys = jax.random.split(KEY, 300)
    found = jax.vmap(lambda key: noises.draw_latent(key, (4, 4)))(keys)
    assert found.numbers.shape == (300, noises.LATENT_NUMBERS)
    assert found.pixels.shape == (300, 4, 4, 3)
    for part in map(np.asarray, found):
        assert part.std() == pytest.approx(1, abs=5 / np.sqrt(2 * part.size))
    # Neither part is the other's numbers again.
    flat = np.asarray(found.pixels).reshape(300, -1)
    both = np.corrcoef(np.asarray(found.numbers).T, flat.T)[: noises.LATENT_NUMBERS]
    assert np.abs(both - np.eye(*both.shape)).max() < 6 / np.sqrt(300)
