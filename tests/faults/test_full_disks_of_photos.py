"""A disk that is full at any byte of any format: never half a photo, never a lost list."""

import numpy as np
import pytest

from fftdiff_jax.data import images
from fftdiff_jax.restore import folders, one_by_one
from tests.data import kinds
from tests.faults.disks import fill, small_disk

pytestmark = pytest.mark.fault

PAGE = 4096  # a tmpfs gives whole ones


class Same:
    """Stands for a restorer that changes nothing."""

    default_draws = 1

    def __call__(self, photo, **options):
        return photo


def larger(data, tmp_path, name):
    """The same kind of file with more than a page of noise."""
    (tmp_path / name).write_bytes(data)
    like = images.load_photo_file(tmp_path / name)
    scale = np.iinfo(like.pixels.dtype).max // 255
    noise = (
        np.random.default_rng(0).integers(0, 256, (150, 160, 3)).astype(like.pixels.dtype) * scale
    )
    if like.grey:
        noise[..., 1:] = noise[..., :1]
    like = images.dataclasses.replace(
        like,
        pixels=noise,
        alpha=None if like.alpha is None else noise[..., 0],
        black=None if like.black is None else noise[..., 0] // 4,
    )
    images.save_photo(tmp_path / name, noise, like)


def test_no_format_leaves_half_a_photo_on_a_full_disk(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for name, data in kinds.every_format().items():
        larger(data, source, name)
    rng = np.random.default_rng(0)
    with small_disk(tmp_path / "disk", 4) as disk:
        (disk / "out").mkdir()
        jobs = folders.plan(str(source), disk / "out")
        failed = written = 0
        for job in jobs:
            size = job.source.stat().st_size
            for share in (0, *rng.random(4), 1.5):
                filler = fill(disk, leave=int(share * size) // PAGE * PAGE)
                outcome = one_by_one.restore(Same(), job)
                filler.unlink()
                left = [path.name for path in (disk / "out").iterdir()]
                if outcome.refusal:
                    failed += 1
                    assert "cannot be written (No space left on device)" in outcome.refusal
                    assert left == []
                else:
                    written += 1
                    assert left == [job.target.name]
                    assert images.load_photo(job.target).shape == (150, 160, 3)
                    job.target.unlink()
        assert failed > 2 * len(jobs)
        assert written >= len(jobs) // 2
