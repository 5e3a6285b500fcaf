"""Where tiles lie, how they blend, and the noise they start from."""

import itertools
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fftdiff_jax.restore import tiling


@settings(max_examples=80, deadline=None)
@given(
    length=st.integers(1, 3000),
    side=st.sampled_from(tiling.SIDES),
    stride=st.sampled_from([2, 4, 8, 16, 32]),
    draws=st.integers(0, 1),
)
def test_tiles_cover_a_length_and_their_weights_add_up_to_one(length, side, stride, draws):
    overlap = tiling.overlap_of(draws)
    padded = tiling.padded_length(length, side, stride)
    weights = tiling.tile_weights(padded, side, stride, overlap)
    total = np.zeros(padded)
    for start, window in weights.items():
        assert window.min() >= 0
        total[start : start + side] += window
    np.testing.assert_allclose(total, 1, atol=1e-6)
    starts = list(weights)
    assert padded >= length
    assert (starts[0], starts[-1]) == (0, padded - side)
    assert all(np.diff(starts) <= side - overlap)
    assert all(start % stride == 0 for start in starts)  # the network's grid is the same in all


@pytest.mark.parametrize("draws", [0, 2])
@pytest.mark.parametrize("side", tiling.SIDES)
def test_what_a_tile_sees_at_its_border_is_not_used(side, draws):
    overlap = tiling.overlap_of(draws)
    unused = (overlap - tiling.FADE) // 2
    weights = tiling.tile_weights(4000, side, 8, overlap)
    for start, window in weights.items():
        assert start == 0 or (window[:unused] == 0).all()
        assert start + side == 4000 or (window[side - unused :] == 0).all()


@pytest.mark.parametrize(
    ("size", "side", "most"),
    [
        ((321, 481), 192, 1.5),
        ((481, 321), 192, 1.5),
        ((128, 100), 128, 1.3),
        ((3000, 4000), 384, 1.4),
        ((4000, 6000), 384, 1.35),
    ],
)
def test_a_photo_takes_the_tiles_with_the_fewest_pixels(size, side, most):
    """Before, a photo of 481 x 321 cost 2.5 times its pixels, and one of 128 x 128 four times."""
    assert tiling.choose_side(*size) == side
    count = tiling.tile_count(size[0], side) * tiling.tile_count(size[1], side)
    assert count * side**2 <= most * size[0] * size[1]


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(1, 500),
    width=st.integers(1, 500),
    layers=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_untouched_tiles_blend_to_the_photo_in_rows_from_top_to_bottom(height, width, layers, seed):
    photos = np.random.default_rng(seed).integers(0, 256, (layers, height, width, 3), np.uint8)
    side, stride = tiling.choose_side(height, width), 8
    padded = [tiling.pad(photo, side, stride) for photo in photos]
    plan = tiling.Plan(height, width, side, stride)
    blend = tiling.Blend(plan, layers, 3)
    whole, following = np.zeros(photos.shape), 0

    def take(pieces):
        nonlocal following
        for top, rows in pieces:
            assert top == following
            following += rows.shape[1]
            inside = rows[:, : max(height - top, 0), :width]
            whole[:, top : top + inside.shape[1]] = inside

    for row in plan.rows:
        for layer in range(layers):
            for column in plan.columns:
                tile = padded[layer][row : row + side, column : column + side]
                take(blend.add(layer, row, column, tile.astype(np.float32) / 255))
    take(blend.finish())
    assert following == plan.height
    np.testing.assert_array_equal(np.round(whole * 255), photos)


@settings(max_examples=50, deadline=None)
@given(height=st.integers(1, 1500), stride=st.sampled_from([4, 8, 16]), seed=st.integers(0, 99))
def test_windows_hold_the_rows_of_their_tiles_however_they_come(height, stride, seed):
    rng = np.random.default_rng(seed)
    plan = tiling.Plan(height, 20, 128, stride)
    photo = rng.random((2, plan.height, 3, 4), np.float32)
    cuts = np.sort(rng.choice(np.arange(1, plan.height), min(12, plan.height - 1), replace=False))
    edges = [0, *cuts, plan.height]
    rows = ((a, photo[:, a:b]) for a, b in itertools.pairwise(edges))
    found = list(zip(plan.rows, tiling.windows(rows, plan), strict=True))
    assert len(found) == len(plan.rows)
    for start, window in found:
        np.testing.assert_array_equal(window, photo[:, start : start + 128])


def test_shared_rows_are_read_once_and_forgotten(rng):
    """Two readers, one of them late, get the same rows; what both have read is not kept."""
    made = []

    def rows():
        for i in range(50):
            made.append(np.full((1, 1, 1, 1), float(i), np.float32))
            yield i, made[-1]

    quick, slow = tiling.shared(rows(), 2)
    first = [next(quick) for _ in range(3)]
    assert len(made) == 3
    again = [next(slow) for _ in range(3)]
    assert all(a is b for (_, a), (_, b) in zip(first, again, strict=True))
    kept = weakref.ref(made[0])
    del first, again, made[0]
    assert kept() is None
    assert len(list(quick)) == len(list(slow)) == 47


def test_of_sides_that_cost_the_same_the_largest_is_taken():
    """Four tiles of 192 have the pixels of one of 384, and borders that nobody needs."""
    assert tiling.tile_count(344, 192) == 2
    assert tiling.tile_count(344, 384) == 1
    assert tiling.choose_side(344, 344) == 384


def test_a_photo_is_mirrored_out_with_its_border_pixel():
    """So that a photo of one row or column can be mirrored too."""
    photo = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    padded = tiling.pad(photo, 8, 8)
    np.testing.assert_array_equal(padded[:, :3, 0], photo[[0, 1, 1, 0, 0, 1, 1, 0], :, 0])
    np.testing.assert_array_equal(padded[0, :, 0], photo[0, [0, 1, 2, 2, 1, 0, 0, 1], 0])
