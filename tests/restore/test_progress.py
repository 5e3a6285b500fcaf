"""What is said while photos are restored: how far, and how long it takes."""

import contextlib
import io

import numpy as np
import pytest

from fftdiff_jax.restore import progress, tiling
from fftdiff_jax.restore.progress import PacedBar, PhotoBars
from fftdiff_jax.restore.tiling import Tiles


class Terminal(io.StringIO):
    """Standard error where somebody looks."""

    def isatty(self):
        return True

    def lines(self):
        return [line for line in self.getvalue().replace("\n", "\r").split("\r") if line.strip()]


def test_every_tile_is_counted_from_none_to_all(tiny_restorer, rng, monkeypatch):
    monkeypatch.setattr(tiling, "SIDES", (128,))
    photo = rng.integers(0, 256, (130, 210, 3), np.uint8)
    seen = []
    restorer = tiny_restorer.watched(seen.append)
    best = restorer(photo)
    assert [tiles.done for tiles in seen] == [0, 1, 2, 3, 4]
    assert {tiles[1:] for tiles in seen} == {(4, 130 * 210 / 1e6)}
    np.testing.assert_array_equal(best, tiny_restorer(photo))
    assert len(seen) == 5  # the restorer that was asked hears of others nothing
    seen.clear()
    restorer.with_sampling(realism=0.5)(photo, draws=2, steps=3)
    tiles_of_draws = 2 * 4  # they overlap more
    assert [tiles.done for tiles in seen] == list(range(tiles_of_draws * (1 + 2 * 3) + 1))
    assert {tiles.total for tiles in seen} == {56}


def test_what_the_watcher_raises_ends_the_photo(tiny_restorer, rng):
    def stop(tiles):
        if tiles.done:
            raise KeyboardInterrupt

    photo = rng.integers(0, 256, (20, 30, 3), np.uint8)
    with pytest.raises(KeyboardInterrupt):
        tiny_restorer.watched(stop)(photo)


def test_the_time_left_does_not_count_what_compiling_took():
    now = [0.0]
    bar = PacedBar(total=11, file=Terminal(), clock=lambda: now[0])
    assert "?" in str(bar)
    now[0] = 60.0  # the first one compiles
    bar.update()
    assert "?" in str(bar)
    for _ in range(5):
        now[0] += 2.0
        bar.update()
    assert bar.format_dict["rate"] == pytest.approx(0.5)
    assert "<00:10" in str(bar)  # 5 are left
    bar.close()


def test_one_photo_has_a_bar_of_tiles_at_once():
    terminal = Terminal()
    with contextlib.redirect_stderr(terminal), PhotoBars(1, shown=True) as bars:
        assert "starting" in terminal.lines()[0]
        bars.begin("street.jpg")
        for done in range(4):
            bars.tiles(Tiles(done, 3, 12.2))
        bars.end()
    last = terminal.lines()[-1]
    assert "street.jpg, 12.2 megapixels: 100%" in last
    assert " 3/3 " in last


@pytest.mark.parametrize("patience", [0.0, 100.0])
def test_several_photos_have_a_bar_and_slow_ones_a_second_one(patience, monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", patience)
    terminal = Terminal()
    with contextlib.redirect_stderr(terminal), PhotoBars(2, shown=True) as bars:
        assert " 0/2 " in terminal.lines()[0]
        for name in ("one.jpg", "two.jpg"):
            bars.begin(name)
            for done in range(3):
                bars.tiles(Tiles(done, 2, 1.0))
            bars.end()
    assert any(" 2/2 " in line for line in terminal.lines())
    assert any("two.jpg" in line for line in terminal.lines()) == (patience == 0)


def test_nothing_is_drawn_where_nobody_looks(monkeypatch, capsys):
    for shown in (True, False):
        with PhotoBars(1, shown=shown) as bars:
            bars.begin("a.jpg")
            bars.tiles(Tiles(0, 1, 1.0))
            bars.tiles(Tiles(1, 1, 1.0))
            bars.end()
    assert capsys.readouterr().err == ""
