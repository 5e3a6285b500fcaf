"""The command line of restore, on videos."""

import subprocess
import sys
import time

import numpy as np
import pytest

from fftdiff_jax.data.images import save_png
from tests.commands import environment, run

pytest.importorskip("av", reason="pip install -e '.[video]'")

from fftdiff_jax.data.video import clip as reading
from fftdiff_jax.restore import clips
from tests.data.clips import picture, sound_of, write_clip


def frames_of(path):
    return np.stack(list(reading.frames(reading.survey(path))))


def test_a_video_is_restored_with_its_sound(tmp_path):
    write_clip(tmp_path / "in" / "rain.mp4", 6)
    save_png(tmp_path / "in" / "photo.png", picture(0))
    flags = ("--output=out", "--nomirror")
    result = run(tmp_path, "restore", "in/rain.mp4", "in/photo.png", *flags)
    assert result.returncode == 0, result.stderr
    assert "restoring 1 photo and 1 video into" in result.stdout
    assert "libav" not in result.stderr
    source, target = tmp_path / "in" / "rain.mp4", tmp_path / "out" / "rain.mp4"
    before, after = frames_of(source), frames_of(target)
    assert before.shape == after.shape
    assert np.abs(before.astype(int) - after).max() > 8
    assert sound_of(source) == sound_of(target)


@pytest.mark.slow
def test_what_is_replaced_passed_over_and_refused(tmp_path):
    write_clip(tmp_path / "in" / "rain.mp4", 2)
    save_png(tmp_path / "in" / "photo.png", picture(0))
    flags = ("--output=out", "--nomirror")
    assert run(tmp_path, "restore", "in/rain.mp4", *flags).returncode == 0
    # An own result is replaced, another's is not, and a folder's videos are left alone.
    assert run(tmp_path, "restore", "in/rain.mp4", *flags).returncode == 0
    write_clip(tmp_path / "other" / "rain.mp4", 3)
    refused = run(tmp_path, "restore", "other/rain.mp4", *flags)
    assert refused.returncode == 1
    assert "is there already, restored from" in refused.stderr
    assert "its videos are restored when they are named" in (
        run(tmp_path, "restore", "other", *flags).stderr
    )
    folder = run(tmp_path, "restore", "in", "--output=new", "--nomirror")
    assert "restoring 1 photo into" in folder.stdout
    maps = run(tmp_path, "restore", "in/*.mp4", "--output=maps", "--uncertainty")
    assert maps.returncode == 1
    assert "rain.mp4: is a video; variants and maps are made of photos" in maps.stdout
    (tmp_path / "text.mp4").write_text("no video")
    bad = run(tmp_path, "restore", "text.mp4", "--output=bad")
    assert bad.returncode == 1
    assert "not restored: " in bad.stdout
    assert "is no video that can be read" in bad.stdout
    assert "Traceback" not in bad.stderr


@pytest.mark.fault
def test_a_killed_video_goes_on_where_it_stopped(tmp_path):
    source = write_clip(tmp_path / "rain.mp4", 100)
    command = [sys.executable, "-m", "experiments.restore", "rain.mp4", "--nomirror"]
    target = tmp_path / "restored" / "rain.mp4"
    process = subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL)
    parts = clips.parts_folder(target)
    end = time.monotonic() + 300
    while not list(parts.glob("[0-9]*.nut")):
        assert time.monotonic() < end, "nothing was restored"
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not target.exists()
    kept = {path.name: path.stat().st_mtime_ns for path in parts.glob("[0-9]*.nut")}
    assert 0 < len(kept) < 4
    again = run(tmp_path, "restore", "rain.mp4", "--nomirror")
    assert again.returncode == 0, again.stderr
    assert not parts.exists()
    whole = run(tmp_path, "restore", "rain.mp4", "--nomirror", "--output=whole")
    assert whole.returncode == 0, whole.stderr
    np.testing.assert_array_equal(frames_of(target), frames_of(tmp_path / "whole" / "rain.mp4"))
    assert sound_of(source) == sound_of(target)
