"""Folders: all that looks like a photo is restored or named, and no file of others is lost."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from fftdiff_jax.data import images
from fftdiff_jax.errors import UserError
from fftdiff_jax.restore import folders, ledger, one_by_one
from fftdiff_jax.restore.restorer import Variants
from tests.commands import environment
from tests.data import kinds


class Same:
    """Stands for a restorer that changes nothing."""

    default_draws = 1

    def __call__(self, photo, **options):
        return photo

    def variants(self, photo, shown, **options):
        return Variants(photo, np.stack([photo] * shown), np.zeros(photo.shape[:2]))


def put(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name.replace("__", ".")).write_bytes(data)


def restored(folder, pattern="in", output="out", **options):
    """What becomes of each photo of a folder, by its name."""
    jobs = folders.plan(str(folder / pattern), folder / output, **options)
    folders.require_own_results(jobs, options.get("keep", False))
    return {job.source.name: one_by_one.restore(Same(), job) for job in jobs}


def test_whatever_looks_like_a_photo_is_restored_or_named(tmp_path):
    rgb = kinds.encoded("PNG")
    put(
        tmp_path / "in",
        a__jpe=kinds.encoded("JPEG"),
        b__mpo=kinds.encoded("MPO"),
        raw__nef=b"MM\0*",
    )
    put(tmp_path / "in", layers__PSD=b"8BPS", notes__txt=b"no photo", nameless=rgb, wrong__dat=rgb)
    put(tmp_path / "in", c__avif=kinds.encoded("AVIF"), d__jp2=kinds.encoded("JPEG2000"))
    os.mkfifo(tmp_path / "in" / "pipe.png")
    put(tmp_path / "elsewhere", x__png=rgb)
    (tmp_path / "in" / "album").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "round").symlink_to(tmp_path / "in")
    found = restored(tmp_path)
    refused = {name: outcome.refusal for name, outcome in found.items() if outcome.refusal}
    assert found.keys() - refused.keys() == {"a.jpe", "b.mpo", "c.avif", "d.jp2"}
    for name, reason in {
        "raw.nef": "a camera's raw file",
        "layers.PSD": "a picture of the kind psd",
        "nameless": "holds a PNG",
        "wrong.dat": "holds a PNG",
        "pipe.png": "a pipe or a device",
        "album": "a link to a folder",
    }.items():
        assert reason in refused.pop(name)
    assert not refused


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into everything")
def test_a_folder_that_may_not_be_looked_into_is_named(tmp_path):
    put(tmp_path / "in", a__png=kinds.encoded("PNG"))
    put(tmp_path / "in" / "closed", b__png=kinds.encoded("PNG"))
    (tmp_path / "in" / "closed").chmod(0)
    assert "may not be looked into" in restored(tmp_path)["closed"].refusal


def test_whatever_is_raised_is_one_line_and_the_rest_goes_on(tmp_path, monkeypatch):
    put(tmp_path / "in", **{f"{i}__png": kinds.encoded("PNG") for i in range(4)})
    errors = iter([RuntimeError("two\nlines"), RecursionError(), SystemError("x"), None])
    whole = images.ENCODERS["PNG"]

    def write(*arguments, **named):
        error = next(errors)
        if error:
            raise error
        return whole(*arguments, **named)

    monkeypatch.setitem(images.ENCODERS, "PNG", write)
    found = restored(tmp_path)
    assert [bool(outcome.refusal) for outcome in found.values()] == [True, True, True, False]
    assert not any("\n" in outcome.refusal for outcome in found.values())

    class Broken(Same):
        def __call__(self, photo, **options):
            raise KeyError("a mistake")

    (job, *_) = folders.plan(str(tmp_path / "in"), tmp_path / "other")
    assert "a mistake of this program" in one_by_one.restore(Broken(), job).refusal
    known = one_by_one.restore(Broken(), job, explain=lambda error: "the machine lacks it")
    assert known.refusal == f"{job.source}: the machine lacks it"


def test_what_libraries_say_of_a_photo_comes_with_its_outcome(tmp_path, capfd):
    """libtiff writes to standard error itself."""
    whole = kinds.encoded("TIFF", compression="tiff_lzw")
    put(tmp_path / "in", a__tif=whole[:1000] + bytes(300) + whole[1300:])
    heard = []
    with one_by_one.listening(heard):
        os.write(2, b"raw line\nraw line 2\n")
    assert heard == ["raw line", "raw line 2"]
    (outcome,) = restored(tmp_path).values()
    assert "LZWDecode" in outcome.warnings[0]
    assert "is damaged" in outcome.refusal
    assert capfd.readouterr().err == ""


def test_names_as_long_as_they_may_be(tmp_path):
    for name in ("N" * 251 + ".png", "雨" * 83 + "a.png"):
        assert 250 < len(os.fsencode(name)) <= 255
        put(tmp_path / "in")
        (tmp_path / "in" / name).write_bytes(kinds.encoded("PNG"))
    jobs = folders.plan(str(tmp_path / "in"), tmp_path / "out", maps=True, variants=2)
    for job in jobs:
        assert one_by_one.restore(Same(), job) == one_by_one.Outcome()
        assert all(place.exists() for place in job.results)
    assert len([path for path in (tmp_path / "out").iterdir() if path.suffix == ".png"]) == 8


def test_originals_are_never_replaced(tmp_path):
    put(tmp_path / "inout", a__png=kinds.encoded("PNG"))
    put(tmp_path / "inout" / "restored", a__png=kinds.encoded("PNG", Image.new("RGB", (8, 8))))
    with pytest.raises(
        UserError, match=r"inout/a.png is there already, and no result .*--overwrite"
    ):
        restored(tmp_path, "inout/restored", "inout")
    put(tmp_path / "out", a__png=b"somebody's")
    with pytest.raises(UserError, match="is there already"):
        restored(tmp_path, "inout/a.png")
    assert (tmp_path / "out" / "a.png").read_bytes() == b"somebody's"


def test_own_results_are_replaced_but_only_by_the_same_photos(tmp_path):
    for folder in ("a", "b"):
        put(tmp_path / folder, IMG_1__png=kinds.encoded("PNG"))
    assert not restored(tmp_path, "a/IMG_1.png")["IMG_1.png"].refusal
    assert not restored(tmp_path, "a/IMG_1.png")["IMG_1.png"].refusal  # once more
    for keep in (False, True):
        with pytest.raises(UserError, match=r"restored from .*a/IMG_1.png"):
            restored(tmp_path, "b/IMG_1.png", keep=keep)
    # Once somebody has worked on it, it is no longer ours.
    (tmp_path / "out" / "IMG_1.png").write_bytes(b"worked on")
    with pytest.raises(UserError, match="no result of this photo"):
        restored(tmp_path, "a/IMG_1.png")


def test_without_a_place_for_records_files_count_as_the_users(tmp_path, monkeypatch):
    put(tmp_path / "in", a__png=kinds.encoded("PNG"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "in" / "a.png"))  # no folder
    assert not restored(tmp_path)["a.png"].refusal
    assert ledger.origins([tmp_path / "out" / "a.png"]) == {}
    with pytest.raises(UserError, match="is there already"):
        restored(tmp_path)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_record_that_is_no_file_is_passed_over(tmp_path, monkeypatch, make):
    put(tmp_path / "in", a__png=kinds.encoded("PNG"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    place = ledger._record(tmp_path / "out")
    place.parent.mkdir(parents=True)
    make(place)
    assert not restored(tmp_path)["a.png"].refusal
    assert ledger.origins([tmp_path / "out" / "a.png"]) == {}


def test_a_record_of_nonsense_counts_for_nothing(tmp_path, monkeypatch):
    put(tmp_path / "in", a__png=kinds.encoded("PNG"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    place = ledger._record(tmp_path / "out")
    place.parent.mkdir(parents=True)
    place.write_bytes(b"[" * 100_000 + b"\n3\n{}\n[1,2]\n\xff\n[[],1,1,1]\n")
    assert not restored(tmp_path)["a.png"].refusal
    assert set(ledger.origins([tmp_path / "out" / "a.png"])) == {tmp_path / "out" / "a.png"}


def test_an_empty_name_is_not_the_folder_one_is_in(tmp_path, monkeypatch):
    put(tmp_path, a__png=kinds.encoded("PNG"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="is empty"):
        folders.plan("", tmp_path / "out")


def command(folder, *words, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "fftdiff_jax", *words],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_escapes_in_names_do_not_reach_the_terminal(tmp_path):
    put(tmp_path)
    for name in ("\x1b]0;title\x07\x1b[31m.png", "two\nlines.png", "\u202egnp.exe.png"):
        (tmp_path / name).write_bytes(b"no picture")
    with command(tmp_path, ".", "-o", "out") as process:
        out, err = process.communicate(timeout=200)
    assert process.returncode == 1
    assert "\x1b" not in out + err
    assert "\u202e" not in out + err
    lines = [line for line in out.splitlines() if line.startswith("not restored:")]
    assert len(lines) == 3
    assert "\\x1b]0;title\\x07\\x1b[31m.png" in out
    assert not err


def test_a_reader_that_goes_and_sigterm_end_in_one_line(tmp_path):
    put(tmp_path / "in", **{f"{i}__png": kinds.encoded("PNG") for i in range(3)})
    with command(tmp_path, "in", "-o", "out") as process:
        process.stdout.readline()
        process.stdout.close()  # as head -1 does
        err = process.stderr.read()
    assert process.returncode == 1
    assert err.splitlines() == ["error: nobody reads the output any more"]
    put(tmp_path / "many", **{f"{i}__png": kinds.encoded("PNG") for i in range(3000)})
    with command(tmp_path, "many", "-o", "out2", "--noprogress") as process:
        end = time.monotonic() + 200
        while not list((tmp_path / "out2").glob("[0-9]*.png")):
            assert time.monotonic() < end
            time.sleep(0.05)
        process.terminate()
        out, err = process.communicate(timeout=100)
    assert process.returncode == 143
    assert err.splitlines() == ["error: ended by SIGTERM"]
    assert "--skip_existing goes on from here" in out
    assert not [p for p in (tmp_path / "out2").iterdir() if p.name.startswith(".")]


def test_a_photo_called_like_a_flag_says_how(tmp_path):
    put(tmp_path, **{"-dash__png": b""})
    with command(tmp_path, "-dash.png") as process:
        _, err = process.communicate(timeout=100)
    assert len(err.splitlines()) == 1
    assert "-- -dash.png" in err


def test_photos_whose_names_are_one_to_the_file_system_of_the_output(tmp_path):
    """As A.png and a.png on cards and many network disks: here a second name of one file."""
    put(tmp_path / "in", A__png=kinds.encoded("PNG"), a__png=kinds.encoded("PNG"))
    first, second = folders.plan(str(tmp_path / "in"), tmp_path / "out")
    assert not one_by_one.restore(Same(), first).refusal
    os.link(first.target, second.target)
    refusal = one_by_one.restore(Same(), second).refusal
    assert f"would take the place of {first.source.name}" in refusal
    assert not one_by_one.restore(Same(), first).refusal  # its own result is replaced
    second.target.unlink()
    assert not one_by_one.restore(Same(), second).refusal
