"""Videos: what is kept of them, what a kill costs, what is said of bad ones. No network."""

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fftdiff_jax.errors import UserError

pytest.importorskip("av", reason="pip install -e '.[video]'")

from fftdiff_jax.data.photo import turned
from fftdiff_jax.data.video import clip as reading
from fftdiff_jax.data.video import write as writing
from fftdiff_jax.restore import clips
from tests.data.clips import QUARTER, SIZE, picture, sound_of, write_clip
from tests.faults.disks import fill, small_disk

MATRICES = {
    1: (1, 0, 0, 1), 2: (-1, 0, 0, 1), 3: (-1, 0, 0, -1), 4: (1, 0, 0, -1),
    5: (0, 1, 1, 0), 6: (0, 1, -1, 0), 7: (0, -1, -1, 0), 8: (0, -1, 1, 0),
}  # fmt: skip


def matrix_of(orientation: int) -> tuple[int, ...]:
    a, b, c, d = (QUARTER * n for n in MATRICES[orientation])
    return (a, b, 0, c, d, 0, 0, 0, 1 << 30)


def same(frame):
    return frame


@pytest.mark.parametrize(
    ("name", "result", "kind"),
    [
        ("a.mp4", "a.mp4", {"frames": 70}),
        ("late.mp4", "late.mp4", {"delay": 0.25}),
        ("quiet.mp4", "quiet.mp4", {"sound": ""}),
        ("plain.mp4", "plain.mp4", {"tagged": False}),
        ("deep.mov", "deep.mov", {"codec": "libx265", "pixel_format": "yuv420p10le"}),
        ("pro.mov", "pro.mov", {"codec": "prores_ks", "pixel_format": "yuv422p10le"}),
        ("a.mkv", "a.mkv", {"time_base": Fraction(1, 1000)}),
        ("a.avi", "a.mkv", {"codec": "mpeg4", "sound": "libmp3lame", "time_base": Fraction(1, 30)}),
    ],
)
def test_a_clip_keeps_its_frames_times_colours_and_sound(tmp_path, name, result, kind):
    source = write_clip(tmp_path / name, **kind)
    target = tmp_path / "out" / result
    not_kept = clips.restore_clip(same, source, target, {})
    before, after = reading.survey(source), reading.survey(target)
    assert not_kept == (("the container: written as mkv",) if name != result else ())
    times = [[float(t * c.time_base) for t in c.times] for c in (before, after)]
    exact = result.endswith("mkv") is False
    np.testing.assert_allclose(*times, atol=1e-9 if exact else 1.1e-3)
    assert after.seconds == pytest.approx(before.seconds, abs=2e-3) or not exact
    assert after.colours == before.colours
    assert after.pixel_format == before.pixel_format
    assert (after.codec == "hevc") == (before.bits > 8)
    if kind.get("sound") != "":
        heard = sound_of(source), sound_of(target)
        assert [data for data, _ in heard[0]] == [data for data, _ in heard[1]]
        offsets = [b[1] - a[1] for a, b in zip(*heard, strict=True)]
        np.testing.assert_allclose(offsets, 0, atol=1e-6 if exact else 1.1e-3)
    # Saturated colours too: FFmpeg's conversions are not all right for 16 bits.
    pairs = zip(reading.frames(before), reading.frames(after), strict=True)
    for number, (one, other) in enumerate(pairs):
        apart = np.abs(one.astype(np.float32) - other) / (257 if one.dtype == np.uint16 else 1)
        assert apart.mean() < 2
        bar = 24 + 2 * number % (SIZE[0] - 48) + 12
        assert apart[36:52, bar - 1 : bar + 1].mean() < 4
    assert [path.name for path in (tmp_path / "out").iterdir()] == [result]


@pytest.mark.parametrize("orientation", MATRICES)
def test_frames_are_restored_upright_and_shown_as_before(tmp_path, orientation):
    source = write_clip(tmp_path / "a.mov", 3, matrix=matrix_of(orientation), sound="")
    seen = []

    def look(frame):
        seen.append(frame)
        return frame

    clips.restore_clip(look, source, tmp_path / "out.mov", {})
    expected = turned(picture(1), orientation)
    assert seen[1].shape == expected.shape
    assert np.abs(seen[1].astype(int) - expected).mean() < 6
    after = reading.survey(tmp_path / "out.mov")
    assert (after.width, after.height) == SIZE
    assert after.orientation == orientation


class Counting:
    """Makes frames darker, and is interrupted after so many."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.calls, self.stop_after = 0, stop_after

    def __call__(self, frame):
        if self.calls == self.stop_after:
            raise KeyboardInterrupt
        self.calls += 1
        return frame // 2


def decoded(path: Path) -> np.ndarray:
    return np.stack(list(reading.frames(reading.survey(path))))


@pytest.mark.parametrize("tripod", [False, True])
def test_what_was_finished_is_not_done_again(tmp_path, tripod):
    source = write_clip(tmp_path / "a.mp4", 70)
    clips.restore_clip(Counting(), source, tmp_path / "whole.mp4", {}, tripod=tripod)
    target = tmp_path / "a_out.mp4"
    with pytest.raises(KeyboardInterrupt):
        clips.restore_clip(Counting(45), source, target, {"draws": 0}, tripod=tripod)
    assert not target.exists()
    assert len(list(clips.parts_folder(target).glob("*" + writing.SEGMENT))) == 1
    again, seen = Counting(), []
    clips.restore_clip(
        again, source, target, {"draws": 0}, lambda *done: seen.append(done), tripod=tripod
    )
    assert again.calls == 40 + tripod
    assert (seen[0], seen[-1]) == ((30, 70), (70, 70))
    np.testing.assert_array_equal(decoded(target), decoded(tmp_path / "whole.mp4"))
    assert not clips.parts_folder(target).exists()


def test_parts_of_other_settings_or_another_video_are_not_used(tmp_path):
    source, target = write_clip(tmp_path / "a.mp4", 40), tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        clips.restore_clip(Counting(35), source, target, {"strength": 1})
    with pytest.raises(KeyboardInterrupt):
        clips.restore_clip(Counting(35), source, target, {"strength": 0.5})
    write_clip(source, 41)
    fresh = Counting()
    clips.restore_clip(fresh, source, target, {"strength": 0.5})
    assert fresh.calls == 41


def test_a_damaged_part_is_made_again(tmp_path):
    source, target = write_clip(tmp_path / "a.mp4", 40), tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        clips.restore_clip(Counting(35), source, target, {})
    (part,) = clips.parts_folder(target).glob("*" + writing.SEGMENT)
    part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])
    again = Counting()
    clips.restore_clip(again, source, target, {})
    assert again.calls == len(reading.survey(target).times) == 40


def test_what_reads_as_another_video_is_not_kept(tmp_path, monkeypatch):
    source, target = write_clip(tmp_path / "a.mp4", 40), tmp_path / "out.mp4"
    short = write_clip(tmp_path / "short.mp4", 39)
    join = writing.join

    def short_of_one(temporary, clip, parts):
        joined = join(temporary, clip, parts)
        Path(temporary).write_bytes(short.read_bytes())
        return joined

    monkeypatch.setattr(writing, "join", short_of_one)
    with pytest.raises(UserError, match=r"out.mp4: .*another video \(39 of 40 frames\)"):
        clips.restore_clip(same, source, target, {})
    assert not target.exists()
    # All frames, and no sound.
    short = write_clip(tmp_path / "quiet.mp4", 40, sound="")
    with pytest.raises(UserError, match="another video"):
        clips.restore_clip(same, source, target, {})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("text", "is no video that can be read"),
        ("cut", "is no video that can be read"),
        ("holes", "is damaged after frame"),
        ("sound", "holds no video"),
        ("gone", "there is no such video"),
    ],
)
def test_bad_videos_are_one_line(tmp_path, content, said):
    source = tmp_path / "a.mp4"
    whole = write_clip(tmp_path / "b.mp4", 40).read_bytes()
    if content == "text":
        source.write_text("no video")
    elif content == "cut":
        source.write_bytes(whole[: len(whole) // 2])
    elif content == "holes":
        data = bytearray(whole)
        start = data.index(b"mdat") + 2000
        data[start : start + 900] = bytes(900)
        source.write_bytes(data)
    elif content == "sound":
        import wave

        with wave.open(str(source), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(bytes(800))
    with pytest.raises(UserError, match=said) as refused:
        clips.restore_clip(same, source, tmp_path / "out.mp4", {})
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.fault
@pytest.mark.parametrize("kilobytes", [0, 8, 40, 120])
def test_a_full_disk_leaves_no_half_video(tmp_path, kilobytes):
    source = write_clip(tmp_path / "a.mp4", 70)
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8) for _ in range(70)]
    with small_disk(tmp_path / "disk", 4) as disk:
        target = disk / "out.mp4"
        filler = fill(disk, leave=kilobytes << 10)
        left = iter(noise)
        with pytest.raises(UserError, match="cannot be written"):
            clips.restore_clip(lambda frame: next(left), source, target, {})
        assert not target.exists()
        filler.unlink()
        clips.restore_clip(lambda frame: noise[0], source, target, {})
        assert len(reading.survey(target).times) == 70


def test_without_pyav_the_way_out_is_said(tmp_path, monkeypatch):
    source = write_clip(tmp_path / "a.mp4", 2)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'fftdiff-jax\[video\]'"):
        reading.survey(source)
