"""What the demo does with photos, without a page: the line, sizes of phones, files as they were."""

import contextlib
import dataclasses
import gc
import threading
import time
import weakref

import numpy as np
import pytest
from PIL import Image
from skimage import data

from fftdiff_jax.commands import demo_photos, demo_view
from fftdiff_jax.commands.demo_line import Line, Stopped, Task
from fftdiff_jax.commands.demo_photos import Job, Wish
from fftdiff_jax.commands.demo_wishes import Wishes
from fftdiff_jax.data.images import load_photo_file, save_photo
from fftdiff_jax.errors import UserError
from fftdiff_jax.restore import doubt
from fftdiff_jax.restore.tiling import Tiles


class Unchanging:
    """A restorer that gives photos back, and has told how far it is."""

    def watched(self, watch):
        self.watch = watch
        return self

    def blended(self, strength, protect):
        return self

    def __call__(self, pixels, *, draws=None):
        self.watch(Tiles(1, 1, pixels.size / 3e6))
        return pixels


def finished(running):
    """What a task came to, and all it told on its way."""
    told = []
    while True:
        try:
            told.append(next(running))
        except StopIteration as end:
            return end.value, told


def test_a_photo_of_twelve_megapixels_is_previewed_small_and_restored_whole(tmp_path, rng):
    small = rng.integers(0, 256, (30, 40, 3), np.uint8)
    large = Image.fromarray(small).resize((4000, 3000), Image.Resampling.BICUBIC)
    large.save(tmp_path / "phone.jpg")
    job = Job(tmp_path / "phone.jpg", "phone.jpg", tmp_path, 64)
    result = demo_photos.restore(Unchanging(), job, Wish(), Task())
    assert Image.open(result.target).size == (4000, 3000)
    assert result.size == (3000, 4000)
    for seconds, words in ((7.26, "7.3 s"), (1480.0, "25 min")):
        line = demo_view.outcome([dataclasses.replace(result, seconds=seconds)], [])
        assert f"phone.jpg: 4000 × 3000 pixels in {words}<" in line
    pair = result.pair()
    assert pair.before.shape == pair.after.shape == (1000, 1334, 3)
    assert len(demo_view.comparison(pair, "phone.jpg")) < 2_000_000
    with pytest.raises(UserError, match=r"^phone.jpg: has 12 megapixels; this page takes 4;"):
        demo_photos.load(job.source, "phone.jpg", 4)


def test_a_photo_made_small_has_the_same_mean(rng):
    photo = rng.integers(0, 256, (700, 90, 3), np.uint8)
    small = demo_photos.shrunk(photo, 100)
    assert small.shape == (100, 13, 3)
    np.testing.assert_allclose(small[:, :12].mean(), photo[:, :84].mean(), atol=0.6)
    assert demo_photos.shrunk(photo, 700) is not photo
    np.testing.assert_array_equal(demo_photos.shrunk(photo, 700), photo)


def test_a_restored_file_is_what_the_command_line_writes(tmp_path, tiny_restorer):
    """Its format, its descriptions and its pixels, to the last byte; two of one name stay two."""
    exif = Image.Exif()
    exif[0x010F] = "a phone"
    source = tmp_path / "in" / "photo.jpg"
    source.parent.mkdir()
    Image.fromarray(data.coffee()[:120, :160]).save(source, exif=exif, comment=b"mine")
    photo = load_photo_file(source)
    save_photo(tmp_path / "cli.jpg", tiny_restorer(photo.pixels), photo)
    job = Job(source, "photo.jpg", tmp_path, 1)
    first, second = (demo_photos.restore(tiny_restorer, job, Wish(), Task()) for _ in range(2))
    assert first.target.name == "photo_restored.jpg"
    assert second.target.name == "photo_restored_2.jpg"
    assert first.target.read_bytes() == (tmp_path / "cli.jpg").read_bytes()
    assert Image.open(first.target).getexif()[0x010F] == "a phone"


def test_what_is_painted_stays_and_a_gentle_photo_changes_half(tmp_path, tiny_restorer):
    source = tmp_path / "photo.png"
    photo = data.coffee()[:120, :160]
    Image.fromarray(photo).save(source)
    mask = np.zeros((60, 80), np.uint8)
    mask[:, :40] = 255
    job, changed = Job(source, "photo.png", tmp_path, 1), {}
    for name, wish in (
        ("full", Wish()), ("gentle", Wish(0.5)), ("painted", Wish(mask=mask))
    ):  # fmt: skip
        result = demo_photos.restore(tiny_restorer, job, wish, Task())
        changed[name] = np.asarray(Image.open(result.target), float) - photo
    assert np.abs(changed["full"]).mean() > 1
    np.testing.assert_allclose(changed["gentle"], changed["full"] / 2, atol=1.01)
    assert not changed["painted"][:, :78].any()
    np.testing.assert_array_equal(changed["painted"][:, 82:], changed["full"][:, 82:])


def test_a_doubtful_change_is_warned_of_as_on_the_command_line(tmp_path):
    class Railing(Unchanging):
        def __call__(self, pixels, *, draws=None):
            restored = pixels.copy()
            restored[:48:2, :48] = 0
            return restored

    Image.new("RGB", (256, 256), "white").save(tmp_path / "photo.png")
    job = Job(tmp_path / "photo.png", "<b>.png", tmp_path, 1)
    result = demo_photos.restore(Railing(), job, Wish(), Task())
    assert result.warnings == (doubt.WARNING,)
    shown = demo_view.outcome([result], ["x.png: is no photo"])
    assert f"warning: &lt;b&gt;.png: {doubt.WARNING}" in shown
    assert "not restored: x.png: is no photo" in shown
    masked = demo_photos.restore(Railing(), job, Wish(mask=np.full((2, 2), 9, np.uint8)), Task())
    assert masked.warnings == ()


def test_a_stop_ends_a_restoration_at_its_next_tile(tmp_path, tiny_restorer):
    Image.fromarray(data.coffee()).save(tmp_path / "photo.png")
    task, seen = Task(), []

    class Counting(Task):
        def tiles(self, tiles):
            seen.append(tiles)
            if tiles.done == 2:
                task.stop()
            task.tiles(tiles)

    job = Job(tmp_path / "photo.png", "photo.png", tmp_path, 1)
    with pytest.raises(Stopped):
        demo_photos.restore(tiny_restorer, job, Wish(), Counting())
    assert (seen[-1].done, seen[-1].total > 4) == (2, True)
    assert not (tmp_path / "photo_restored.png").exists()


def test_one_is_worked_for_at_a_time_and_those_who_wait_hear_of_it():
    line, order = Line(3), []
    free = threading.Event()

    def work(name):
        def run(task):
            order.append(name)
            free.wait(10)
            return name

        return run

    first, second = line.run("a", work("first")), line.run("b", work("second"))
    assert next(first).words == "starting"
    assert next(second).words == "in line: 1 visitor before you"
    with pytest.raises(UserError, match="still worked on"):
        next(line.run("a", work("again")))
    third = line.run("c", work("third"))
    next(third)
    with pytest.raises(UserError, match="3 visitors wait already"):
        next(line.run("d", work("fourth")))
    line.stop("b")
    free.set()
    assert finished(first)[0] == "first"
    with pytest.raises(Stopped):
        finished(second)
    assert finished(third)[0] == "third"
    assert order == ["first", "third"]
    line.close()


@pytest.mark.parametrize("how", ["stop", "leave", "close"])
def test_work_ends_when_it_is_stopped_or_nobody_listens(how):
    line, tiles = Line(2), []

    def work(task):
        for i in range(10_000):
            task.tiles(Tiles(i, 10_000, 1.0))
            tiles.append(i)
            time.sleep(0.01)

    running = line.run("a", work)
    next(running)
    if how == "leave":
        running.close()
    elif how == "stop":
        line.stop("a")
    else:
        line.close()
    with contextlib.suppress(Stopped, StopIteration):
        while True:
            next(running)
    time.sleep(0.2)
    done = len(tiles)
    time.sleep(0.2)
    assert done == len(tiles) < 500
    line.close()


def test_the_time_left_is_that_of_all_tiles_but_the_first():
    now = [0.0]
    task = Task(lambda: now[0])
    task.say("a.jpg")
    for done, at in ((0, 0.0), (1, 60.0), (2, 62.0)):
        now[0] = at
        task.tiles(Tiles(done, 12, 1.0))
    assert task.progress == ("a.jpg: tile 2 of 12, about 20 s left", 2 / 12)


def test_wishes_are_words_and_others_are_refused(tiny_restorer):
    wishes = Wishes(tiny_restorer)
    assert wishes.ways[0][1] == "best"
    restorer, wish = wishes.read("full", "best", "")
    assert restorer is tiny_restorer
    assert wish == Wish()
    assert wishes.read("gentle", "sharp", None)[1] == Wish(0.5, 1)
    for wrong in (("much", "best", ""), (0.3, "best", ""), ("full", [], ""), ("full", "best", "x")):
        with pytest.raises(UserError):
            wishes.read(*wrong)


@pytest.mark.parametrize("error", [Stopped, UserError])
def test_the_photo_of_a_task_that_was_stopped_is_given_back_at_once(error):
    """Else each Stop keeps hundreds of megabytes until Python looks for circles."""
    line, held = Line(2), []

    def work(task):
        photo = np.zeros((4, 4))
        held.append(weakref.ref(photo))
        raise error("at a tile")

    gc.disable()
    try:
        with pytest.raises(error) as raised:
            finished(line.run("a", work))
        del raised
        finished(line.run("a", lambda task: None))  # the worker lets go of what it did last
        assert held[0]() is None
    finally:
        gc.enable()
        line.close()
