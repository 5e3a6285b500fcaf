"""The table of scores: tone, and how photos are scored by it."""

import dataclasses
import math

import numpy as np
import pytest
from skimage import data

from fftdiff_jax.errors import UserError
from fftdiff_jax.metrics import psnr_ssim
from fftdiff_jax.metrics.scores import _TABLE, SCORES, mean_scores, measured, score_photos


@pytest.fixture
def clean() -> np.ndarray:
    """A photo that no shift of up to 20 grey levels takes out of range."""
    return data.chelsea()[:40, :50] // 2 + np.uint8(40)


def test_tone_is_how_far_the_channels_means_are_off(clean):
    restored = (clean + np.array([3, -6, 0])).astype(np.uint8)
    scores = score_photos(restored, clean)
    assert scores["tone"] == pytest.approx(3)
    assert scores["psnr_y_toned"] == psnr_ssim.LARGEST_PSNR > scores["psnr_y"]


def test_a_restored_photo_of_the_right_tone_gains_nothing_from_it(clean, rng):
    noise = np.round(rng.normal(0, 5, clean.shape))
    noise -= np.round(noise.mean(axis=(0, 1)))
    scores = score_photos((clean + noise).astype(np.uint8), clean)
    assert scores["tone"] < 0.5
    assert scores["psnr_y_toned"] == scores["psnr_y"]


def test_noise_is_left_when_tone_is_given(clean, rng):
    noise = np.round(rng.normal(0, 5, clean.shape))
    toned = score_photos((clean + noise).astype(np.uint8), clean)
    off = score_photos((clean + noise + 10).astype(np.uint8), clean)
    assert off["tone"] == pytest.approx(10, abs=0.5)
    assert off["psnr_y_toned"] == pytest.approx(toned["psnr_y"], abs=0.05)
    assert off["psnr_y"] < toned["psnr_y"] - 5


def test_only_the_networks_that_are_asked_for_are_measured():
    assert not any(score.network for score in measured())
    assert {score.network for score in measured(["vgg16"])} == {"", "vgg16"}
    assert measured(["vgg16", "alexnet"]) == tuple(SCORES.values())


def test_what_a_small_photo_cannot_have_is_missing(clean):
    score = dataclasses.replace(SCORES["tone"], least_side=41)
    assert math.isnan(score_photos(clean, clean, [score])["tone"])
    assert score_photos(clean.repeat(2, axis=0), clean.repeat(2, axis=0), [score])["tone"] == 0


def test_no_two_scores_have_one_name():
    assert len(SCORES) == len(_TABLE) == len({score.title for score in _TABLE})


def test_means_are_over_photos(clean):
    restored = np.stack([clean, clean + np.uint8(4)])
    assert mean_scores(restored, np.stack([clean, clean]), [SCORES["tone"]]) == {"tone": 2}


def test_unequal_photos_are_refused(clean):
    with pytest.raises(UserError, match="must be equal"):
        score_photos(clean, clean[1:])
