"""Photos one after the other: Ctrl-C is obeyed even where a library loses it."""

import contextlib
import os
import signal

import pytest

from fftdiff_jax.restore import folders, one_by_one


@pytest.fixture(autouse=True)
def usual_handler():
    """Python's own, as in a command; pytest's workers have another."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def job(tmp_path, name):
    return folders.Job(tmp_path / name, tmp_path / f"restored_{name}")


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_BLOCK, ())  # a point at which Python hears it


def test_ctrl_c_that_is_lost_on_its_way_ends_before_the_next_photo(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    photos = one_by_one.until_interrupted([job(tmp_path, name) for name in "abc"])
    assert [next(photos).source.name, next(photos).source.name] == ["a", "b"]
    # As a library does that clears what is raised in its callbacks.
    with contextlib.suppress(KeyboardInterrupt):
        interrupt()
    with pytest.raises(KeyboardInterrupt):
        next(photos)
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_ends_a_photo_at_once_and_all_photos_come_without(tmp_path):
    waiting = [job(tmp_path, name) for name in "abc"]
    before = signal.getsignal(signal.SIGINT)
    assert list(one_by_one.until_interrupted(waiting)) == waiting
    assert signal.getsignal(signal.SIGINT) is before
    photos = one_by_one.until_interrupted(waiting)
    next(photos)
    with pytest.raises(KeyboardInterrupt):
        interrupt()
    photos.close()
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_that_is_ignored_stays_ignored(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        waiting = [job(tmp_path, name) for name in "ab"]
        for _ in one_by_one.until_interrupted(waiting):
            interrupt()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
