"""What was changed evenly looks like rain, and what was changed in one place does not."""

import numpy as np
import pytest

from fftdiff_jax.restore import doubt, folders, one_by_one
from tests.commands import ROOT


def changed(rng, amount: np.ndarray) -> doubt.Change:
    """Of a photo to whose blocks so much is added and taken away, in a chequerboard."""
    height, width = amount.shape
    board = np.indices((height * doubt.BLOCK, width * doubt.BLOCK)).sum(axis=0) % 2 * 2 - 1
    photo = rng.integers(60, 190, (*board.shape, 3), np.uint8)
    levels = np.kron(amount, np.ones((doubt.BLOCK, doubt.BLOCK), np.int64)) * board
    return doubt.measure(photo, (photo + levels[..., None]).astype(np.uint8))


def test_amount_and_unevenness_are_exact(rng):
    even = changed(rng, np.full((40, 20), 5))
    assert even.amount == pytest.approx(5, abs=1e-3)
    assert even.unevenness == pytest.approx(0, abs=1e-3)
    assert not even.doubtful
    places = np.zeros((40, 20), np.int64)
    places[:4] = 40  # a tenth of the photo
    some = changed(rng, places)
    assert some.amount == pytest.approx(4, abs=1e-3)
    assert some.unevenness == pytest.approx(3, abs=1e-3)
    assert some.doubtful
    assert not changed(rng, places // 4).doubtful  # little was changed


def test_tone_is_no_change_and_small_photos_are_not_judged(rng):
    photo = rng.integers(60, 190, (160, 160, 3), np.uint8)
    assert doubt.measure(photo, photo + 20).amount == pytest.approx(0, abs=1e-3)
    small = photo[:100, :100]
    assert doubt.measure(small, 255 - small) == (0, 0)


def test_a_clean_photo_that_is_torn_is_told_of(tmp_path):
    """The command's line; a mask means that someone has looked."""
    from fftdiff_jax.data.images import save_png

    photo = np.full((160, 160, 3), 128, np.uint8)
    save_png(tmp_path / "a.png", photo)
    save_png(tmp_path / "mask.png", np.zeros((8, 8), np.uint8))
    torn = photo.copy()
    torn[:16, ::2] = 20

    class Tearing:
        def blended(self, strength, mask):
            return self

        def __call__(self, pixels, **options):
            return torn

    job = folders.Job(tmp_path / "a.png", tmp_path / "out" / "a.png")
    outcome = one_by_one.restore(Tearing(), job)
    assert outcome.warnings == (doubt.WARNING,)
    guarded = folders.Job(job.source, job.target, mask=tmp_path / "mask.png")
    assert one_by_one.restore(Tearing(), guarded).warnings == ()
    assert "docs/safety.md" in (doubt.__doc__ or "")
    assert (ROOT / "docs" / "safety.md").exists()
