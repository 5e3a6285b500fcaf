"""Strength and masks: exact at their ends, everywhere a restorer is used."""

import numpy as np
import pytest
from PIL import Image
from skimage import data

from fftdiff_jax.data.images import save_png
from fftdiff_jax.errors import UserError
from fftdiff_jax.pixels import to_unit
from fftdiff_jax.restore import blending, folders, masks
from tests.commands import refusal, run


def photo_of(kind):
    photo = data.coffee()[100:151, 100:173]
    if kind == "deep":
        return photo.astype(np.uint16) * 257 + 3
    return to_unit(photo) if kind == "float" else photo


@pytest.mark.parametrize("kind", ["bytes", "deep", "float"])
def test_strength_goes_from_the_photo_to_the_restored_one(kind, tiny_restorer):
    photo = photo_of(kind)
    np.testing.assert_array_equal(tiny_restorer.blended(0.0)(photo), photo)
    whole = tiny_restorer(photo)
    np.testing.assert_array_equal(tiny_restorer.blended(1.0)(photo), whole)
    half = to_unit(tiny_restorer.blended(0.5)(photo))
    assert np.abs(half - (to_unit(photo) + to_unit(whole)) / 2).max() <= 1 / 255
    assert np.abs(to_unit(whole) - to_unit(photo)).max() > 0.02


@pytest.mark.parametrize("kind", ["bytes", "deep", "float"])
def test_what_is_white_in_the_mask_stays_to_the_last_bit(kind, tiny_restorer):
    photo = photo_of(kind)
    mask = np.zeros(photo.shape[:2], np.uint8)
    mask[10:30, 20:] = 255
    mask[40:] = 51
    found, whole = tiny_restorer.blended(protect=mask)(photo), tiny_restorer(photo)
    np.testing.assert_array_equal(found[mask == 255], photo[mask == 255])
    np.testing.assert_array_equal(found[mask == 0], whole[mask == 0])
    fifth = to_unit(photo) + 0.8 * (to_unit(whole) - to_unit(photo))
    assert np.abs(to_unit(found) - fifth)[40:].max() <= 1 / 255


def test_draws_do_not_differ_where_nothing_is_taken_over(tiny_restorer):
    photo = photo_of("bytes")
    mask = np.zeros(photo.shape[:2], bool)
    mask[:, :20] = True
    guarded = tiny_restorer.blended(protect=mask)
    _, spread = guarded.with_spread(photo, draws=2, steps=1)
    assert spread[:, :20].max() == 0
    assert spread[:, 20:].min() > 0
    # A restorer of other sampling keeps its mask.
    again = guarded.with_sampling(realism=0.5)(photo)
    np.testing.assert_array_equal(again[:, :20], photo[:, :20])


def test_masks_of_any_kind_and_size():
    small = np.array([[0, 255], [0, 255]], np.uint8)
    for mask in (small, small > 0, small.astype(np.uint16) * 257, small / 255.0):
        np.testing.assert_array_equal(blending.to_mask(mask), small)
    np.testing.assert_array_equal(blending.to_mask(Image.fromarray(small).convert("RGB")), small)
    large = blending.fitted(small, 10, 40)
    assert large.shape == (10, 40)
    assert large[:, 0].max() == 0
    assert large[:, -1].min() == 255
    assert 0 < large[0, 20] < 255  # soft in between


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan"), "much", True])
def test_a_strength_out_of_its_range_is_refused(strength, tiny_restorer):
    with pytest.raises(UserError, match="strength is"):
        tiny_restorer.blended(strength)


@pytest.mark.parametrize(
    "mask", [np.zeros((2, 2, 4)), np.zeros(3, bool), np.zeros((0, 2)), "a.png"]
)
def test_what_is_no_mask_is_refused(mask, tiny_restorer):
    with pytest.raises(UserError, match="a mask is"):
        tiny_restorer.blended(protect=mask)


def test_masks_on_the_command_line(tmp_path):
    photo = data.coffee()[:60, :80]
    mask = np.zeros((30, 40), np.uint8)  # of half the size
    mask[:, :20] = 255
    for name in ("in/a.png", "in/sub/b.png"):
        save_png(tmp_path / name, photo)
    save_png(tmp_path / "masks" / "sub" / "b.png", mask)
    result = run(tmp_path, "restore", "in", "--protect=masks", "--output=out")
    assert result.returncode == 0, result.stderr
    free, guarded = (np.asarray(Image.open(tmp_path / "out" / n)) for n in ("a.png", "sub/b.png"))
    np.testing.assert_array_equal(guarded[:, :38], photo[:, :38])
    np.testing.assert_array_equal(guarded[:, 44:], free[:, 44:])
    assert np.abs(free.astype(int) - photo).max() > 0


def test_masks_that_are_none_of_a_photo_are_refused(tmp_path):
    save_png(tmp_path / "mask.png", np.zeros((2, 2), np.uint8))
    (tmp_path / "masks").mkdir()
    jobs = [folders.Job(tmp_path / "a.jpg", tmp_path / "out" / "a.jpg")]
    output = tmp_path / "out"
    (one,) = masks.with_masks(jobs, str(tmp_path / "mask.png"), output)
    assert one.mask == tmp_path / "mask.png"
    with pytest.raises(UserError, match="no such mask"):
        masks.with_masks(jobs, str(tmp_path / "nowhere"), output)
    with pytest.raises(UserError, match=r"no mask there has the name of a photo, such as a.png"):
        masks.with_masks(jobs, str(tmp_path / "masks"), output)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--protect=nowhere", "no such mask"),
        ("--protect=a.txt", "not a picture"),
        ("--strength=1.5", "strength"),
        ("--strength=nan", "finite"),
    ],
)
def test_refusals_are_one_line(tmp_path, flag, said):
    save_png(tmp_path / "a.png", data.coffee()[:60, :80])
    (tmp_path / "a.txt").write_text("no mask")
    result = run(tmp_path, "restore", "a.png", "--output=new", flag)
    assert result.returncode == 1
    assert said in (result.stdout if "a.txt" in flag else refusal(result))
    assert not (tmp_path / "new").exists()
