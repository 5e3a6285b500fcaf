"""Damaged files of every format: none ends a folder, hangs it, or fills the memory."""

import resource
import signal

import numpy as np
import pytest

from fftdiff_jax.data import images
from fftdiff_jax.restore import folders, one_by_one
from tests.data import kinds

MUTATIONS = 6  # of each of some 24 files
SECONDS = 600  # on a machine that does much else; some ten otherwise
MEGABYTES = 600  # beyond what was used before


def mutated(data, rng):
    """Bytes changed, cut out, doubled or set to extremes, most of them near the head."""
    found = bytearray(data)
    for _ in range(int(rng.integers(1, 8))):
        place = int(len(found) * rng.random() ** 3)
        kind = rng.integers(5)
        if kind == 0:
            found[place : place + 1] = rng.bytes(1)
        elif kind == 1:
            found[place : place + 4] = bytes([255]) * 4
        elif kind == 2:
            found[place : place + 4] = bytes(4)
        elif kind == 3:
            del found[place : place + int(rng.integers(1, 64))]
        else:
            found[place:place] = found[place : place + int(rng.integers(1, 64))]
    return bytes(
        found[: int(rng.integers(len(found) // 2, len(found)))] if rng.random() < 0.2 else found
    )


@pytest.fixture
def soon():
    """Fails what hangs."""

    def late(number, frame):
        raise TimeoutError("hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.slow
def test_every_mutated_file_is_restored_or_named(tmp_path, tiny_restorer, soon):
    rng = np.random.default_rng(1)
    (tmp_path / "in").mkdir()
    for name, data in kinds.every_format().items():
        for i in range(MUTATIONS):
            (tmp_path / "in" / f"{i}_{name}").write_bytes(mutated(data, rng) if i else data)
    jobs = folders.plan(str(tmp_path / "in"), tmp_path / "out")
    assert len(jobs) == MUTATIONS * len(kinds.every_format())
    one_by_one.restore(tiny_restorer, jobs[0])  # compiles
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = 0
    for job in jobs:
        outcome = one_by_one.restore(tiny_restorer, job)
        assert "\n" not in outcome.refusal
        assert "a mistake of this program" not in outcome.refusal, outcome.refusal
        assert "TimeoutError" not in outcome.refusal, job.source
        assert job.target.exists() == (not outcome.refusal)
        if job.target.exists():
            count += 1
            source, target = (images.load_photo_file(path) for path in (job.source, job.target))
            assert source.pixels.shape == target.pixels.shape
        elif job.source.name.startswith("0_"):
            pytest.fail(outcome.refusal)
    assert count > len(kinds.every_format())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEGABYTES * 1024
