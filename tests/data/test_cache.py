"""Decoded once, never stale, never over its size, and never in the way."""

import os
import pickle
import threading

import numpy as np
import pytest

from fftdiff_jax.data.cache import PhotoCache, file_key
from tests.data.trees import photo, save

SIZE = (20, 30)
BYTES = 20 * 30 * 3 + 128


class Decoder:
    def __init__(self, pixels):
        self.pixels, self.calls = pixels, 0

    def __call__(self):
        self.calls += 1
        return self.pixels.copy()


def opened(folder, count=1, limit=1e-3):
    cache = PhotoCache(folder, limit)
    cache.plan([f"k{i}" for i in range(count)], [SIZE] * count)
    return cache


def test_a_photo_is_decoded_once_and_mapped_read_only(tmp_path):
    decoder = Decoder(photo(*SIZE))
    for _ in range(2):  # another process's view of the same folder
        cache = opened(tmp_path)
        for _ in range(3):
            kept = cache.photo("k0", decoder)
            np.testing.assert_array_equal(kept, decoder.pixels)
            assert isinstance(kept, np.memmap)
            with pytest.raises(ValueError, match="read-only"):
                kept[0, 0, 0] = 1
    assert decoder.calls == 1


def test_a_changed_file_has_another_key(tmp_path):
    path = save(tmp_path / "a.png", photo(8, 8))
    before = file_key(path)
    assert file_key(path) == before
    save(path, photo(8, 8, seed=1))
    os.utime(path, ns=(1, 1))
    assert file_key(path) != before


def test_what_does_not_fit_is_decoded_on_the_fly_and_kept_in_memory(tmp_path):
    cache = PhotoCache(tmp_path, 2.5 * BYTES / 1e9, memory_gigabytes=BYTES / 1e9)
    cache.plan(["k0", "k1", "k2", "k3"], [SIZE] * 4)
    decoders = [Decoder(photo(*SIZE, seed=i)) for i in range(4)]
    for _ in range(2):
        for i, decoder in enumerate(decoders):
            for _ in range(2):
                np.testing.assert_array_equal(cache.photo(f"k{i}", decoder), decoder.pixels)
    files = list(tmp_path.iterdir())
    assert len(files) == 2
    assert sum(p.stat().st_size for p in files) <= 2.5 * BYTES
    assert [decoder.calls for decoder in decoders] == [1, 1, 2, 2]  # memory holds one photo


def test_photos_unused_for_longest_make_room_for_others(tmp_path):
    old = opened(tmp_path, count=3)
    for i in range(3):
        old.photo(f"k{i}", Decoder(photo(*SIZE)))
    for age, path in enumerate(sorted(tmp_path.iterdir())):
        os.utime(path, (age, age))
    newest = max(tmp_path.iterdir(), key=os.path.getmtime)
    new = PhotoCache(tmp_path, 2.2 * BYTES / 1e9)
    new.plan(["other"], [SIZE])
    assert list(tmp_path.iterdir()) == [newest]
    new.photo("other", Decoder(photo(*SIZE)))
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) <= 2.2 * BYTES


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"x" * 5000])
def test_a_damaged_file_is_decoded_again(tmp_path, damage):
    decoder = Decoder(photo(*SIZE))
    opened(tmp_path).photo("k0", decoder)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage)
    np.testing.assert_array_equal(opened(tmp_path).photo("k0", decoder), decoder.pixels)
    assert decoder.calls == 2
    assert path.stat().st_size == BYTES


def test_a_cache_that_cannot_be_written_costs_no_run(tmp_path):
    (tmp_path / "file").write_text("")
    cache = opened(tmp_path / "file" / "cache")
    decoder = Decoder(photo(*SIZE))
    for _ in range(3):
        np.testing.assert_array_equal(cache.photo("k0", decoder), decoder.pixels)
    assert decoder.calls <= 2


def test_threads_that_build_at_once_agree(tmp_path):
    caches = [opened(tmp_path, count=5) for _ in range(4)]
    pixels = [photo(*SIZE, seed=i) for i in range(5)]
    wrong = []

    def use(cache):
        for i in range(5):
            if not np.array_equal(cache.photo(f"k{i}", Decoder(pixels[i])), pixels[i]):
                wrong.append(i)

    threads = [threading.Thread(target=use, args=(cache,)) for cache in caches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(list(tmp_path.iterdir())) == 5  # and no temporary file


def test_what_a_killed_process_left_is_removed_in_time(tmp_path):
    left, fresh = tmp_path / ".a.u8.1.ab.npy", tmp_path / ".b.u8.1.ab.npy"
    left.write_bytes(b"x")
    fresh.write_bytes(b"x")
    os.utime(left, (1, 1))
    opened(tmp_path)
    assert not left.exists()
    assert fresh.exists()  # perhaps another process is writing it


def test_it_can_be_sent_to_another_process(tmp_path):
    cache = opened(tmp_path)
    decoder = Decoder(photo(*SIZE))
    cache.photo("k0", decoder)
    sent = pickle.loads(pickle.dumps(cache))
    np.testing.assert_array_equal(sent.photo("k0", decoder), decoder.pixels)
    assert decoder.calls == 1
