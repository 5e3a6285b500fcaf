"""Distances between two sets of photos: against Gaussians, against chance, and as photos worsen."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from fftdiff_jax.metrics import frozen, realism
from fftdiff_jax.metrics.realism import Features


def kept(samples, places=realism.PLACES):
    """What is kept of one photo whose features at its places are these samples."""
    return Features(
        np.array(float(len(samples))),
        samples.sum(axis=0),
        samples.T @ samples,
        samples[:places].astype(np.float32),
    )


def with_moments(rng, count, mean, cov):
    """Samples whose own mean and covariance are exactly these."""
    white = rng.standard_normal((count, len(mean)))
    white -= white.mean(axis=0)
    white = white @ np.linalg.inv(np.linalg.cholesky(white.T @ white / count)).T
    return mean + white @ np.linalg.cholesky(cov).T


def test_frechets_distance_of_known_gaussians(rng):
    """Diagonal covariances have the sum of (std - std)^2, beside the means' distance."""
    one = with_moments(rng, 60, np.array([1.0, 0, 0]), np.diag([1.0, 4, 9]))
    other = with_moments(rng, 90, np.array([0.0, 2, 0]), np.diag([4.0, 4, 1]))
    photos = [kept(one[:20]), kept(one[20:])], [kept(other[:45]), kept(other[45:])]
    expected = (1 + 4) + (1 + 0 + 4)
    assert realism.frechet_distance(*photos) == pytest.approx(expected)
    assert realism.frechet_distance(*photos[::-1]) == pytest.approx(expected)
    assert realism.frechet_distance(photos[0], photos[0]) == pytest.approx(0, abs=1e-6)


def test_frechets_distance_does_not_care_for_the_axes(rng):
    """Covariances that do not commute: turned together, they are as far apart."""
    a, b = (x @ x.T + np.eye(4) for x in rng.standard_normal((2, 4, 4)))
    nothing = np.zeros(4)
    turn, _ = np.linalg.qr(rng.standard_normal((4, 4)))
    distances = [
        realism.frechet_distance(
            [kept(with_moments(rng, 50, nothing, t @ a @ t.T))],
            [kept(with_moments(rng, 50, nothing, t @ b @ t.T))],
        )
        for t in (np.eye(4), turn)
    ]
    # tr (A B)^(1/2) is the sum of the roots of the eigenvalues of A B.
    common = np.sqrt(np.linalg.eigvals(a @ b).real).sum()
    assert distances == pytest.approx(2 * [np.trace(a) + np.trace(b) - 2 * common])


def test_photos_weigh_as_often_as_they_are_counted(rng):
    one, two, three = (kept(rng.standard_normal((n, 3)) + n) for n in (20, 30, 40))
    weighted = realism.frechet_distance([one, two, three], [two, one, three], [2, 1, 0])
    repeated = realism.frechet_distance([one, one, two], [two, two, one])
    assert weighted == pytest.approx(repeated)


def kernel(a, b):
    return (a @ b.T / a.shape[-1] + 1) ** 3


def test_the_kernel_distance_leaves_out_what_shows_the_same_scene(rng):
    """Written out: all pairs of places in different photos, of both sets."""
    ours, theirs = rng.standard_normal((2, 3, 5, 4)).astype(np.float32)
    found = realism.kernel_distance(*([kept(x) for x in photos] for photos in (ours, theirs)))

    def mean(x, y):
        return np.mean([kernel(x[i], y[j]) for i in range(3) for j in range(3) if i != j])

    expected = mean(ours, ours) + mean(theirs, theirs) - 2 * mean(ours, theirs)
    assert found == pytest.approx(expected, rel=1e-5)
    assert np.isnan(realism.kernel_distance([kept(ours[0])], [kept(theirs[0])]))


def test_the_kernel_distance_of_two_sets_of_one_distribution_is_0_on_average(rng):
    """Even where photo i of both sets has the same scene; a shift is found."""

    def distance(shift):
        scenes = rng.standard_normal((6, 1, 8))
        ours, theirs = (scenes + 0.5 * rng.standard_normal((6, 4, 8)) for _ in range(2))
        return realism.kernel_distance([kept(x) for x in ours], [kept(x + shift) for x in theirs])

    same = np.array([distance(0.0) for _ in range(400)])
    error = same.std() / np.sqrt(400)
    assert abs(same.mean()) < 4 * error
    moved = np.mean([distance(0.5) for _ in range(100)])
    assert moved > 10 * error


def photos(count=6, side=64):
    return [
        np.ascontiguousarray(data.coffee()[40 * i : 40 * i + side, 60 * i : 60 * i + side])
        for i in range(count)
    ]


@pytest.mark.parametrize("harm", ["blur", "grain"])
def test_both_distances_grow_with_blur_and_with_grain(harm, rng):
    clean = photos()
    grain = rng.standard_normal(clean[0].shape)

    def harmed(photo, amount):
        if harm == "blur":
            return np.round(ndimage.gaussian_filter(photo.astype(float), (amount, amount, 0)))
        return np.clip(photo + 8 * amount * grain, 0, 255)

    truth = [realism.features(photo) for photo in clean]
    found = [
        realism.compare(
            [realism.features(harmed(photo, amount).astype(np.uint8)) for photo in clean], truth
        )
        for amount in (0, 1, 3)
    ]
    assert set(found[0]) == set(realism.DISTANCES)
    for name in realism.DISTANCES:
        none, some, much = (scores[name] for scores in found)
        assert none < some < much, name
        if name.startswith("frechet"):
            assert none == pytest.approx(0, abs=1e-3 * much)


def test_blocks_of_a_large_photo_have_the_features_of_the_whole(monkeypatch):
    photo = data.coffee()[:300, :330]
    whole = realism.features(photo)
    monkeypatch.setattr(frozen, "BLOCK_SIDE", 64)
    assert len(frozen.blocks_of(photo.shape[:2])) > 4
    for one, blocks, channels, stride in zip(
        whole, realism.features(photo), realism.CHANNELS, (2, 4), strict=True
    ):
        assert one.size == blocks.size == (300 // stride) * (330 // stride)
        np.testing.assert_allclose(blocks.total, one.total, rtol=1e-4, atol=1e-2)
        np.testing.assert_allclose(blocks.products, one.products, rtol=1e-3, atol=1e-1)
        assert one.places.shape == blocks.places.shape == (realism.PLACES, channels)


def test_features_come_back_from_their_file(tmp_path):
    some = {name: realism.features(photo) for name, photo in zip("ab", photos(2), strict=True)}
    realism.save_features(tmp_path / "new" / "features.npz", some)
    found = realism.load_features(tmp_path / "new" / "features.npz")
    assert set(found) == {"a", "b"}
    for name, blocks in found.items():
        for one, other in zip(blocks, some[name], strict=True):
            for a, b in zip(one, other, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-6)
    assert realism.compare([found["a"], found["b"]], [some["a"], some["b"]]) == pytest.approx(
        realism.compare([some["a"], some["b"]], [some["a"], some["b"]]), abs=1e-2
    )


def test_what_is_kept_is_the_sum_of_what_is_seen():
    photo = photos(1)[0]
    layers = frozen.features(frozen.load("vgg16"), photo[None] / np.float32(255))
    found = [
        np.asarray(layers[b - 1][0]).reshape(-1, c)
        for b, c in zip(realism.BLOCKS, realism.CHANNELS, strict=True)
    ]
    for kept_of, places in zip(realism.features(photo), found, strict=True):
        expected = kept(places.astype(np.float64))
        np.testing.assert_allclose(kept_of.total, expected.total, rtol=1e-5)
        np.testing.assert_allclose(kept_of.products, expected.products, rtol=1e-5, atol=1e-3)
        # Some of the places, each as it is.
        distance = np.abs(kept_of.places[:, None] - places[None]).max(axis=-1)
        assert distance.min(axis=1).max() < 1e-3


def test_intervals_hold_the_distance_and_widen_with_fewer_photos(rng):
    def sets(count):
        clean = [(kept(rng.standard_normal((30, 3))),) * 2 for _ in range(count)]
        return [(kept(rng.standard_normal((30, 3)) + 1),) * 2 for _ in range(count)], clean

    widths = []
    for count in (8, 80):
        restored, clean = sets(count)
        found = realism.intervals(restored, clean)
        assert set(found) == {"frechet_2", "frechet_3"}
        low, high = found["frechet_2"]
        distance = realism.frechet_distance([x[0] for x in restored], [x[0] for x in clean])
        assert low < distance < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2
