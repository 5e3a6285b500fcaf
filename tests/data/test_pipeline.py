"""The stream: aligned to the pixel, the same for any number of processes, and resumable."""

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fftdiff_jax.config import DataConfig
from fftdiff_jax.data.crops import change_tone, cut_crop, save_as_jpeg
from fftdiff_jax.data.manifest import read_manifest, write_manifest
from fftdiff_jax.data.pairs import evaluation_pairs
from fftdiff_jax.data.pipeline import epoch_entries, training_batches
from fftdiff_jax.data.sources.open import open_source, pair_sizes
from fftdiff_jax.errors import UserError
from tests.data.trees import numbered, pairs_csv, photo, save, wet


@pytest.fixture(scope="module")
def numbered_pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbered")
    return read_manifest(pairs_csv(folder, count=6, make=lambda i: numbered(40 + i, 48)))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return DataConfig(cache_dir=str(tmp_path_factory.mktemp("cache")), crop_size=16)


def take(config, manifest, count, **options):
    with training_batches(config, manifest, **options) as stream:
        return [next(stream) for _ in range(count)]


def same(ones, others):
    assert len(ones) == len(others)
    for one, other in zip(ones, others, strict=True):
        np.testing.assert_array_equal(one["clean"], other["clean"])
        np.testing.assert_array_equal(one["rainy"], other["rainy"])


def test_clean_and_rainy_crops_show_the_same_place(config, numbered_pairs):
    for batch in take(config, numbered_pairs, 20, batch_size=8, seed=0):
        # Rows and columns are written into the first two channels, the side into the third.
        np.testing.assert_array_equal(batch["clean"][..., :2], batch["rainy"][..., :2])
        assert (batch["clean"][..., 2] == 0).all()
        assert (batch["rainy"][..., 2] == 255).all()


@given(
    height=st.integers(8, 40), width=st.integers(8, 40), size=st.integers(1, 8),
    seed=st.integers(0, 10**6), augment=st.booleans(), turned=st.sampled_from([0.0, 0.5, 1.0]),
)  # fmt: skip
@settings(deadline=None)
def test_a_crop_is_a_square_of_the_photo_in_one_of_eight_positions(
    height, width, size, seed, augment, turned
):
    clean, rainy = numbered(height, width)
    rng = np.random.default_rng(seed)
    crop, other = cut_crop([clean, rainy], size, rng, augment=augment, turned=turned)
    np.testing.assert_array_equal(crop[..., :2], other[..., :2])
    rows, columns = np.unique(crop[..., 0]), np.unique(crop[..., 1])
    assert len(rows) == len(columns) == size
    assert rows[-1] - rows[0] == columns[-1] - columns[0] == size - 1  # neighbours stay so
    upright = clean[rows[0] : rows[0] + size, columns[0] : columns[0] + size]
    positions = [upright[::a, ::b] for a in (1, -1) for b in (1, -1)] if augment else [upright]
    if augment and turned:
        positions += [position.transpose(1, 0, 2) for position in positions]
    assert any(np.array_equal(crop, position) for position in positions)


@given(rescale=st.floats(1.01, 2), seed=st.integers(0, 10**6))
@settings(deadline=None)
def test_scaled_crops_show_a_part_of_the_photo_both_alike(rescale, seed):
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None], (200, 200, 3))
    crop, other = cut_crop(
        [ramp, ramp], 64, np.random.default_rng(seed), augment=False, turned=0.0, rescale=rescale
    )
    assert crop.shape == (64, 64, 3)
    np.testing.assert_array_equal(crop, other)
    shown = (float(crop[-8, 0, 0]) - float(crop[7, 0, 0])) / 49 * 64  # rows of the photo
    assert 64 / rescale - 3 <= shown <= 64 * rescale + 3


def test_crops_are_shrunk_as_often_as_enlarged_and_never_beyond_the_photo():
    ramp = np.broadcast_to(np.arange(90, dtype=np.uint8)[:, None, None], (90, 90, 3))
    rng = np.random.default_rng(0)
    slopes = [
        float(crop[50, 0, 0]) - float(crop[10, 0, 0])
        for crop, in (cut_crop([ramp], 60, rng, turned=0.0, augment=False, rescale=2.0)
                      for _ in range(400))
    ]  # fmt: skip
    assert min(slopes) < 23
    assert max(slopes) == 60  # 40 rows of 60 that show all 90
    assert 0.4 < np.mean(np.asarray(slopes) > 40) < 0.6


@given(seed=st.integers(0, 10**6))
def test_tones_of_a_pair_change_by_one_curve_that_never_falls(seed):
    levels = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    toned, mirrored = change_tone([levels, levels[::-1]], np.random.default_rng(seed))
    np.testing.assert_array_equal(toned, mirrored[::-1])
    assert (np.diff(toned.astype(int), axis=0) >= 0).all()
    assert (toned[0] == 0).all()


def test_rain_on_rain_falls_on_the_rainy_photo(config, numbered_pairs):
    alone = take(config, numbered_pairs, 4, batch_size=4, seed=3)
    config = dataclasses.replace(config, rain_on_rain=1.0)
    more = take(config, numbered_pairs, 4, batch_size=4, seed=3)
    for before, after in zip(alone, more, strict=True):
        np.testing.assert_array_equal(before["clean"], after["clean"])
        assert (before["rainy"] != after["rainy"]).any()
        assert (after["rainy"][..., 2].mean(axis=(1, 2)) > 150).all()  # 255 in the rainy photo


def test_dry_examples_show_the_clean_photo_twice(config, numbered_pairs):
    config = dataclasses.replace(config, dry=0.3, rain_on_rain=1.0)
    batches = take(config, numbered_pairs, 20, batch_size=8, seed=3)
    dry = [(b["clean"][i] == b["rainy"][i]).all() for b in batches for i in range(8)]
    assert 0.2 < np.mean(dry) < 0.4


def test_compressed_rain_is_rendered_rain_as_jpeg_shows_it(config, numbered_pairs):
    config = dataclasses.replace(config, rendered_rain=1.0)
    alone = take(config, numbered_pairs, 4, batch_size=8, seed=3)
    half = take(
        dataclasses.replace(config, compressed=0.5), numbered_pairs, 4, batch_size=8, seed=3
    )
    same = []
    for before, after in zip(alone, half, strict=True):
        np.testing.assert_array_equal(before["clean"], after["clean"])
        same += [(a == b).all() for a, b in zip(before["rainy"], after["rainy"], strict=True)]
        assert np.abs(before["rainy"].astype(float) - after["rainy"]).mean() < 12
    assert 0.2 < np.mean(same) < 0.8


def test_pairs_that_were_photographed_are_not_compressed_again(config, numbered_pairs):
    alone = take(config, numbered_pairs, 2, batch_size=8, seed=3)
    asked = take(
        dataclasses.replace(config, compressed=1.0), numbered_pairs, 2, batch_size=8, seed=3
    )
    for before, after in zip(alone, asked, strict=True):
        np.testing.assert_array_equal(before["rainy"], after["rainy"])


@given(seed=st.integers(0, 10**6), down=st.integers(1, 39), across=st.integers(1, 39))
def test_a_photo_saved_as_jpeg_stays_where_it_was(seed, down, across):
    photo = np.full((40, 40, 3), 60, np.uint8)
    photo[down:] += 50
    photo[:, across:] += 80
    saved = save_as_jpeg(photo, np.random.default_rng(seed)).astype(float).mean(axis=2)
    assert saved.shape == (40, 40)
    assert np.diff(saved.mean(axis=1)).argmax() == down - 1
    assert np.diff(saved.mean(axis=0)).argmax() == across - 1


@given(seed=st.integers(0, 10**6), height=st.integers(1, 9), width=st.integers(1, 9))
def test_the_smallest_photos_can_be_saved_as_jpeg(seed, height, width):
    grey = np.full((height, width, 3), 128, np.uint8)
    np.testing.assert_array_equal(save_as_jpeg(grey, np.random.default_rng(seed)), grey)


def test_blocks_of_a_jpeg_start_anywhere():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    borders = set()
    for seed in range(100):
        saved = save_as_jpeg(noise, np.random.default_rng(seed)).astype(float).mean(axis=2)
        jumps = np.abs(np.diff(saved, axis=1)).mean(axis=0)[:56].reshape(7, 8).mean(axis=0)
        borders.add(int(jumps.argmax()))
    assert len(borders) > 5


def test_every_place_and_every_position_comes_up():
    clean, _ = numbered(6, 5)
    rng = np.random.default_rng(0)
    corners = {
        tuple(int(v) for v in cut_crop([clean], 3, rng, turned=0.5)[0][[0, 0, -1], [0, -1, 0]]
              .reshape(-1)) for _ in range(2000)
    }  # fmt: skip
    assert len(corners) == 4 * 3 * 8  # places down and across, and positions


@given(
    processes=st.sampled_from([1, 2, 3, 12]),
    start=st.integers(0, 30),
    seed=st.integers(0, 2**40),
)
@settings(max_examples=6, deadline=None)
def test_processes_share_each_global_batch(config, numbered_pairs, processes, start, seed):
    whole = take(config, numbered_pairs, 2, batch_size=12, seed=seed, start_batch=start)
    parts = [
        take(config, numbered_pairs, 2, batch_size=12, seed=seed, start_batch=start,
             process_index=i, process_count=processes) for i in range(processes)
    ]  # fmt: skip
    for number, batch in enumerate(whole):
        for key in ("clean", "rainy"):
            joined = np.concatenate([part[number][key] for part in parts])
            np.testing.assert_array_equal(joined, batch[key])


def test_an_epoch_holds_every_pair_once_whatever_the_batch_size(config, tmp_path):
    csv = pairs_csv(tmp_path, count=10, make=lambda i: (np.full((20, 20, 3), i, np.uint8),) * 2)
    manifest = read_manifest(csv)
    by_five = take(config, manifest, 6, batch_size=5, seed=1)
    drawn = np.concatenate([batch["clean"][:, 0, 0, 0] for batch in by_five])
    for epoch in range(3):
        assert sorted(drawn[10 * epoch : 10 * epoch + 10]) == list(range(10))
    assert (drawn[:10] != drawn[10:20]).any()
    by_three = take(config, manifest, 10, batch_size=3, seed=1)
    np.testing.assert_array_equal(
        np.concatenate([batch["clean"][:, 0, 0, 0] for batch in by_three]), drawn
    )
    others = take(config, manifest, 4, batch_size=5, seed=0)
    shifted = np.concatenate([batch["clean"][:, 0, 0, 0] for batch in others])
    assert (shifted[10:] != drawn[:10]).any()  # neighbouring seeds share no epoch


def test_large_photos_give_more_crops(config, tmp_path):
    csv = pairs_csv(
        tmp_path, count=3, make=lambda i: (np.full((64 * (i + 1), 64, 3), i, np.uint8),) * 2
    )
    (batch,) = take(config, read_manifest(csv), 1, batch_size=6, seed=0)
    assert sorted(batch["clean"][:, 0, 0, 0]) == [0, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("start", [0, 1, 7])
def test_a_resumed_stream_goes_on_exactly(config, numbered_pairs, start):
    config = dataclasses.replace(config, rendered_rain=0.5)
    whole = take(config, numbered_pairs, 10, batch_size=4, seed=3)
    with training_batches(config, numbered_pairs, batch_size=4, seed=3) as stream:
        for _ in range(start):
            next(stream)
        position = stream.position
    assert position == start
    rest = take(config, numbered_pairs, 10 - start, batch_size=4, seed=3, start_batch=position)
    same(rest, whole[start:])


def test_workers_change_nothing(config, numbered_pairs):
    config = dataclasses.replace(config, rendered_rain=0.5)
    alone = take(config, numbered_pairs, 7, batch_size=4, seed=3, start_batch=2)
    config = dataclasses.replace(config, workers=3)
    same(take(config, numbered_pairs, 7, batch_size=4, seed=3, start_batch=2), alone)


def test_the_cache_changes_nothing(config, tmp_path):
    # JPEGs, since only decoding them can go another way.
    lines = ["image_filepath,image_rain_filepath"]
    for i in range(3):
        clean = photo(30, 30, i)
        save(tmp_path / f"{i}.jpg", clean)
        save(tmp_path / f"{i}_r.jpg", wet(clean))
        lines.append(f"{i}.jpg,{i}_r.jpg")
    (tmp_path / "m.csv").write_text("\n".join(lines))
    manifest = read_manifest(tmp_path / "m.csv")
    kept = take(config, manifest, 5, batch_size=4, seed=0)
    same(
        take(dataclasses.replace(config, cache_gigabytes=0.0), manifest, 5, batch_size=4, seed=0),
        kept,
    )
    same(take(config, manifest, 5, batch_size=4, seed=0), kept)


def test_rendered_rain_takes_its_share_and_leaves_the_clean_crop(config, numbered_pairs):
    def rendered(share):
        config_with = dataclasses.replace(config, rendered_rain=share)
        batches = take(config_with, numbered_pairs, 6, batch_size=48, seed=0)
        clean = np.concatenate([batch["clean"] for batch in batches])
        rainy = np.concatenate([batch["rainy"] for batch in batches])
        assert (clean[..., 2] == 0).all()
        return np.mean([not (photo[..., 2] == 255).all() for photo in rainy])

    assert rendered(0.0) == 0
    assert rendered(0.25) == pytest.approx(0.25, abs=0.08)
    assert rendered(1.0) == 1


@pytest.mark.parametrize(("rendered", "turned"), [(0.0, 0.1), (1.0, 0.5)])
def test_rain_that_was_photographed_is_seldom_turned(config, numbered_pairs, rendered, turned):
    """A tenth of the read pairs and half of the photos that rain is rendered on are transposed."""
    config = dataclasses.replace(config, rendered_rain=rendered)
    batches = take(config, numbered_pairs, 20, batch_size=48, seed=0)
    clean = np.concatenate([batch["clean"] for batch in batches])
    # Rows are written into the first channel: where a crop is transposed they run to the right.
    transposed = (clean[:, 0, 0, 0] == clean[:, 1, 0, 0]).mean()
    assert transposed == pytest.approx(turned, abs=0.03 if turned < 0.5 else 0.05)


def test_clean_photos_alone_are_trained_with_rendered_rain(config, tmp_path):
    save(tmp_path / "a.png", photo(50, 50))
    (tmp_path / "m.csv").write_text("image_filepath,image_rain_filepath\na.png,\n")
    manifest = read_manifest(tmp_path / "m.csv")
    batches = take(config, manifest, 3, batch_size=8, seed=0)
    assert any((batch["clean"] != batch["rainy"]).any() for batch in batches)
    same(batches, take(config, manifest, 3, batch_size=8, seed=0))


def test_a_file_that_goes_bad_during_training_stops_it_with_its_row(tmp_path):
    config = DataConfig(cache_dir=str(tmp_path / "c"), cache_gigabytes=0, crop_size=16)
    csv = pairs_csv(tmp_path, count=400, size=(16, 16))
    with training_batches(config, read_manifest(csv), batch_size=4, seed=0) as stream:
        next(stream)
        for i in range(400):
            (tmp_path / f"clean/{i}.png").write_bytes(b"gone")
        with pytest.raises(UserError, match=r"pairs.csv, row \d+: .*(not a picture|damaged)"):
            list(stream)
        with pytest.raises(StopIteration):
            next(stream)


def test_whole_pairs_for_evaluation(tmp_path):
    manifest = read_manifest(pairs_csv(tmp_path, count=3))
    pairs = list(evaluation_pairs(manifest))
    assert [pair.row for pair in pairs] == [2, 3, 4]
    np.testing.assert_array_equal(pairs[1].clean, photo(40, 48, seed=1))
    assert len(list(evaluation_pairs(manifest, limit=2))) == 2
    save(tmp_path / "rainy/1.png", photo(41, 48))
    with pytest.raises(UserError, match=r"row 3: .*48 x 40 and .*48 x 41"):
        list(evaluation_pairs(manifest))


SCRIPT = """
import os, signal, sys, time
from fftdiff_jax.config import DataConfig
from fftdiff_jax.data.manifest import read_manifest, write_manifest
from fftdiff_jax.data.pipeline import epoch_entries, training_batches
from fftdiff_jax.data.sources.open import open_source, pair_sizes

if __name__ == "__main__":
    seen = []
    signal.signal(signal.SIGTERM, lambda *unused: seen.append("TERM"))
    signal.signal(signal.SIGUSR1, lambda *unused: seen.append("USR1"))
    config = DataConfig(cache_dir=sys.argv[2], crop_size=16, workers=2)
    stream = training_batches(config, read_manifest(sys.argv[1]), batch_size=4, seed=0)
    next(stream)
    print("ready", flush=True)
    while not os.path.exists(sys.argv[3]):
        next(stream)
        time.sleep(0.01)
    for _ in range(40):
        next(stream)
    stream.close()
    print("seen", *sorted(set(seen)), flush=True)
"""


@pytest.fixture
def training(tmp_path):
    """A process that reads batches with two workers until the file `stop` is there."""
    csv = pairs_csv(tmp_path)
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "script.py", str(csv), str(tmp_path / "cache"), str(tmp_path / "stop")],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().strip() == "ready"
    workers = [
        child for child in psutil.Process(process.pid).children()
        if "resource_tracker" not in " ".join(child.cmdline())
    ]  # fmt: skip
    assert len(workers) == 2
    yield process, workers
    process.kill()
    process.wait()


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs POSIX signals")
def test_workers_outlive_the_signals_that_tell_training_to_save(training, tmp_path):
    process, workers = training
    for each in [*psutil.Process(process.pid).children(), psutil.Process(process.pid)]:
        each.send_signal(signal.SIGUSR1)
        each.send_signal(signal.SIGTERM)
    (tmp_path / "stop").write_text("")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert out.split() == ["seen", "TERM", "USR1"]
    assert wait_for(lambda: not any(worker.is_running() for worker in workers))


def test_workers_die_with_their_parent(training):
    process, workers = training
    process.kill()
    process.wait()
    assert wait_for(
        lambda: all(not w.is_running() or w.status() == psutil.STATUS_ZOMBIE for w in workers)
    )


def test_pairs_take_part_as_often_as_asked(tmp_path):
    """Beside photos whose rain is rendered, which are many, real rain is not to get lost."""
    rows = [(row.clean, row.rainy, "") for row in read_manifest(pairs_csv(tmp_path, 2)).rows]
    rows += [(str(save(tmp_path / f"dry/{i}.png", photo(40, 48, i))), None, "") for i in range(3)]
    write_manifest(tmp_path / "mixed.csv", rows)
    config = DataConfig(cache_dir=str(tmp_path / "cache"), crop_size=16, pair_repeats=4)
    source = open_source(config, read_manifest(tmp_path / "mixed.csv"))
    sizes, _ = pair_sizes(source, 16, "stop")
    entries = epoch_entries(source, sizes, config)
    assert np.bincount(entries).tolist() == [4, 4, 1, 1, 1]
    sizes[2] = (256, 128)  # eight squares of four crop sides
    assert np.bincount(epoch_entries(source, sizes, config)).tolist() == [4, 4, 8, 1, 1]
