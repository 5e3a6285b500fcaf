"""Networks on canvases and in blocks see what they see of the whole photo."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from fftdiff_jax.errors import UserError
from fftdiff_jax.metrics import frozen


@settings(max_examples=8, deadline=None)
@given(st.integers(32, 128), st.integers(32, 128))
def test_alexnets_features_on_a_canvas_are_the_photos(height, width):
    photo = data.coffee()[None, 100 : 100 + height, 100 : 100 + width]
    params = frozen.load("alexnet")
    alone = frozen.features(params, jnp.asarray(photo, jnp.float32) / 255)
    (part,) = frozen.in_blocks(photo)
    assert part.photos.shape == (1, 128, 128, 3)
    seen = frozen.features(params, jnp.asarray(part.photos, jnp.float32) / 255, part.size)
    for layer, (one, other) in enumerate(zip(alone, seen, strict=True)):
        counted = part.counted(other, "alexnet", layer)
        assert counted.shape == one.shape
        np.testing.assert_allclose(counted, one, atol=1e-4)


def test_what_lies_beside_the_photo_is_not_seen(rng):
    """Whatever it is: it would reach into the photo at the second convolution."""
    photo = data.coffee()[None, :90, :100]
    (part,) = frozen.in_blocks(photo)
    filled = part.photos.copy()
    filled[:, 90:] = filled[:, :, 100:] = 255
    params = frozen.load("alexnet")
    for one, other in zip(
        *(
            frozen.features(params, jnp.asarray(canvas, jnp.float32) / 255, part.size)
            for canvas in (part.photos, filled)
        ),
        strict=True,
    ):
        rows, columns = (slice(side * one.shape[1] // 128 - 2) for side in (90, 100))
        np.testing.assert_allclose(one[:, rows, columns], other[:, rows, columns], atol=1e-4)


@pytest.mark.parametrize("length", [32, 736, 737, 1247, 1249, 6000])
def test_blocks_join(length):
    blocks = frozen._blocks(length)
    ends = [block.counted_to or length for block in blocks]
    assert [block.counted_from for block in blocks] == [0, *ends[:-1]]
    assert ends[-1] == length == blocks[-1].last
    assert max(block.last - block.first for block in blocks) <= frozen.CANVAS_SIDES[-1]
    assert all(block.first % 16 == 0 and block.counted_from % 16 == 0 for block in blocks)


def test_a_network_that_there_is_not():
    with pytest.raises(UserError, match="no network 'resnet'; known: alexnet, vgg16"):
        frozen.load("resnet")
