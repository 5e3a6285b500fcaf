"""What a notebook shows of restorers and of what they restore."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from fftdiff_jax.restore import notebook


@pytest.fixture
def photo(rng):
    return rng.integers(0, 256, (40, 56, 3), np.uint8)


def test_a_look_at_several_draws(photo, tiny_restorer):
    look = notebook.look(tiny_restorer, photo, draws=3, steps=2, clean=photo)
    np.testing.assert_array_equal(look.restored, tiny_restorer(photo, draws=3, steps=2))
    pixels, _ = tiny_restorer.uncertainty(photo, draws=3, steps=2)
    np.testing.assert_allclose(look.spread, pixels, atol=1e-6)
    assert Image.open(io.BytesIO(look._repr_png_())).width > 500
    assert "spread of 3 draws" in [ax.get_title() for ax in look.figure().axes]
    assert repr(look) == "Look(56 x 40 pixels, 3 draws)"


def test_the_best_photo_is_before_and_after(photo, tiny_restorer):
    look = notebook.look(tiny_restorer, photo)
    np.testing.assert_array_equal(look.restored, tiny_restorer(photo))
    assert [ax.get_title() for ax in look.figure().axes] == ["rainy", "restored"]
    assert not look.spread.any()
    truth = notebook.Look(photo, look.draws, photo)
    assert [ax.get_title() for ax in truth.figure().axes] == ["rainy", "restored", "clean"]


def test_a_restorer_says_what_it_is(tiny_restorer):
    card = tiny_restorer._repr_html_()
    assert "widths 8 16" in card
    assert "log_ratio" in card
    assert "none: the best photo" in card
    drawing = tiny_restorer.with_sampling(draws=3, steps=2)
    assert "3 of 2 steps each, ddim" in drawing._repr_html_()
    encoded = re.search("base64,([^']+)", card)
    assert encoded
    assert Image.open(io.BytesIO(base64.b64decode(encoded[1]))).height > 100


def test_the_picture_of_the_spread_is_of_pixels(photo):
    """Its brightest colour means the spread that all but the last half per cent stay below."""
    draws = np.full((2, 40, 56, 3), 0.5, np.float32)
    draws[0, 20, 20:40], draws[1, 20, 20:40] = 0.6, 0.4
    picture, limit = notebook.Look(photo, draws).spread_picture()
    assert limit == pytest.approx(255 * np.sqrt(0.02), rel=1e-4)
    brightest = (picture == picture[20, 28]).all(axis=-1)
    assert brightest.sum() == 20
    assert brightest[20, 20:40].all()


def test_the_pictures_of_the_spectra_have_their_brightest_place_in_the_middle(photo):
    look = notebook.Look(photo, photo[None] / np.float32(255))
    for picture in look.spectrum_pictures():
        brightest = np.argwhere(picture.sum(axis=-1) == picture.sum(axis=-1).max())
        assert (brightest == (20, 28)).all(axis=1).any()
        assert len(brightest) < 40
