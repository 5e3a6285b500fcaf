"""The command line of restore: every kind of photo, folders, refusals."""

import itertools
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from skimage import data

from fftdiff_jax.errors import UserError
from fftdiff_jax.restore import maps
from fftdiff_jax.training.checkpoints import Checkpoints
from fftdiff_jax.training.state import create_state
from tests.commands import environment, refusal, run


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tiny_restorer):
    folder = tmp_path_factory.mktemp("model")
    checkpoints = Checkpoints(folder)
    state = create_state(tiny_restorer.config)
    checkpoints.save(state.replace(ema_params=tiny_restorer.params), tiny_restorer.config, {})
    checkpoints.close()
    return folder


@pytest.fixture(scope="module")
def restored(tmp_path_factory, checkpoint):
    """One call over a folder of every kind of photo."""
    folder = tmp_path_factory.mktemp("photos")
    source = folder / "in"
    (source / "deeper").mkdir(parents=True)
    photo = data.coffee()[100:151, 100:173]
    grey = photo[..., 0]
    Image.fromarray(photo).save(source / "plain.png")
    Image.fromarray(photo).save(source / "deeper" / "photo.jpg", quality=95)
    Image.fromarray(grey).save(source / "grey.png")
    Image.fromarray(np.dstack([photo, grey])).save(source / "alpha.png")
    Image.fromarray(photo).quantize(64).save(source / "palette.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(source / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees
    Image.fromarray(photo).save(source / "turned.jpg", exif=exif)
    whole = (source / "deeper" / "photo.jpg").read_bytes()
    (source / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (source / "text.png").write_text("no photo")
    (source / "notes.txt").write_text("not looked at")
    # What else lies about in folders of photos.
    Image.fromarray(photo).save(source / ".hidden.png")
    (source / "__MACOSX").mkdir()
    (source / "__MACOSX" / "plain.png").write_bytes(b"resource fork")
    (source / "gone.png").symlink_to("nowhere.png")
    (source / "circle.png").symlink_to("circle.png")
    (source / "round").symlink_to(source)
    (source / "folder.png").mkdir()
    Image.fromarray(photo).save(source / "deeper" / "plain.png")
    Image.fromarray(photo[:17, :33]).save(source / "雨 ü.webp", lossless=True)
    Image.fromarray(photo[:1, :40]).save(source / "flat.tif")
    Image.fromarray(photo).convert("CMYK").save(source / "inks.jpg")
    frames = [Image.fromarray(np.roll(photo, 9 * i, axis=0)) for i in range(2)]
    frames[0].save(source / "film.gif", save_all=True, append_images=frames[1:])
    Image.fromarray(photo).save(os.fsencode(str(source)) + b"/\xff.png")
    flags = (f"--checkpoint={checkpoint}", "--input=in", "--output=out", "--noprogress")
    result = run(folder, "restore", *flags)
    return folder, result


def test_photos_keep_names_sizes_and_kinds(restored):
    folder, result = restored
    found = {str(p.relative_to(folder / "out")) for p in (folder / "out").rglob("*") if p.is_file()}
    assert found == {
        *("plain.png", "deeper/photo.jpg", "grey.png", "alpha.png"),
        *("palette.png", "deep.png", "turned.jpg", "deeper/plain.png", "雨 ü.webp", "flat.tif"),
        *("inks.jpg", "\udcff.png"),
    }, result.stdout + result.stderr
    for name in found - {"turned.jpg"}:
        before, after = Image.open(folder / "in" / name), Image.open(folder / "out" / name)
        assert before.size == after.size, name
        if name != "palette.png":  # a restored photo has more colours than a palette holds
            assert before.mode == after.mode, name
    alpha = [np.asarray(Image.open(folder / side / "alpha.png"))[..., 3] for side in ("in", "out")]
    np.testing.assert_array_equal(*alpha)
    # A turned photo is shown as before: upright pixels, whatever its tag says.
    assert Image.open(folder / "out" / "turned.jpg").size == (51, 73)


def test_the_network_was_applied(restored):
    folder, _ = restored
    before, after = (np.asarray(Image.open(folder / d / "plain.png")) for d in ("in", "out"))
    assert np.abs(before.astype(int) - after).max() > 3


def test_bad_photos_are_named_and_the_rest_is_done(restored):
    _, result = restored
    assert result.returncode == 1
    refused = [line for line in result.stdout.splitlines() if line.startswith("not restored:")]
    assert len(refused) == 5
    for name, reason in (
        ("cut.jpg", "is damaged"),
        ("text.png", "not a picture"),
        ("gone.png", "no such file"),
        ("circle.png", "cannot be opened (too many levels"),
        ("film.gif", "holds 2 pictures"),
    ):
        (line,) = (line for line in refused if name in line)
        assert reason in line
    assert "Traceback" not in result.stderr


def test_several_draws_are_variants_and_a_map_beside_the_best_photo(
    tmp_path, checkpoint, tiny_restorer
):
    photo = data.coffee()[:40, :50]
    Image.fromarray(photo).save(tmp_path / "a.png", dpi=(300, 300))
    flags = ("--draws=4", "--steps=2", "--noprogress")
    command = (f"--checkpoint={checkpoint}", "--input=a.png", "--output=out", *flags)
    result = run(tmp_path, "restore", *command)
    assert result.returncode == 0, result.stderr
    variants = [f"a.variant{number}.png" for number in (1, 2, 3)]
    hidden_too = {path.name for path in (tmp_path / "out").iterdir() if path.suffix == ".png"}
    assert hidden_too == {"a.png", "a.uncertainty.png", *variants}
    spread = np.asarray(Image.open(tmp_path / "out" / "a.uncertainty.png"))
    assert spread.shape == (40 + maps.LEGEND, 50, 3)
    assert spread.max() > 0
    best, *drawn = (np.asarray(Image.open(tmp_path / "out" / n)) for n in ("a.png", *variants))
    assert np.abs(best.astype(int) - tiny_restorer(photo)).max() <= 1
    expected = tiny_restorer.variants(photo, draws=4, steps=2).draws
    assert np.abs(np.stack(drawn).astype(int) - expected).max() <= 1
    assert all((a != b).any() for a, b in itertools.combinations(drawn, 2))
    assert Image.open(tmp_path / "out" / variants[0]).info["dpi"][0] == pytest.approx(300, abs=1)

    again = run(tmp_path, "restore", *command, "--skip_existing")
    assert "nothing is left" in again.stdout
    (tmp_path / "out" / variants[1]).unlink()
    again = run(tmp_path, "restore", *command, "--skip_existing")
    assert "1 restored" in again.stdout
    assert (tmp_path / "out" / variants[1]).exists()


def test_a_map_alone(tmp_path, checkpoint):
    Image.fromarray(data.coffee()[:40, :50]).save(tmp_path / "a.png")
    command = (f"--checkpoint={checkpoint}", "--output=out", "--uncertainty", "a.png")
    result = run(tmp_path, "restore", *command)
    assert result.returncode == 0, result.stderr
    names = {path.name for path in (tmp_path / "out").iterdir() if path.suffix == ".png"}
    assert names == {"a.png", "a.uncertainty.png"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "way", "dial"),
    [
        (("--draws=1",), {"draws": 1}, {}),
        (("--steps=2",), {"draws": 1, "steps": 2}, {}),
        (("--realism=0.5",), {"draws": 1}, {"realism": 0.5}),
        (("--draws=0", "--realism=0.5"), {"draws": 0}, {}),
    ],
)
def test_flags_about_draws_ask_for_one(flags, way, dial, tmp_path, checkpoint, tiny_restorer):
    photo = data.coffee()[:40, :50]
    Image.fromarray(photo).save(tmp_path / "a.png")
    command = (f"--checkpoint={checkpoint}", "--input=a.png", "--output=out", *flags)
    result = run(tmp_path, "restore", *command)
    assert result.returncode == 0, result.stderr
    found = np.asarray(Image.open(tmp_path / "out" / "a.png")).astype(int)
    expected = tiny_restorer.with_sampling(**dial)(photo, **way)
    assert np.abs(found - expected).max() <= 1


@pytest.mark.slow
def test_a_mirrored_look_is_taken_when_asked_for(tmp_path, checkpoint, tiny_restorer):
    photo = data.coffee()[100:151, 100:173]
    Image.fromarray(photo).save(tmp_path / "photo.png")
    flags = (f"--checkpoint={checkpoint}", "--input=photo.png", "--output=out", "--mirror")
    result = run(tmp_path, "restore", *flags)
    assert result.returncode == 0, result.stderr
    found = np.asarray(Image.open(tmp_path / "out" / "photo.png")).astype(int)
    assert np.abs(found - tiny_restorer.with_sampling(mirror=True)(photo)).max() <= 1
    assert np.abs(found - tiny_restorer(photo)).max() > 2


def test_results_within_the_input_are_no_input(tmp_path, checkpoint):
    """Into a folder of the input: the second run must not restore what the first one wrote."""
    for name in ("a.png", "b.png"):
        Image.fromarray(data.coffee()[:20, :30]).save(tmp_path / name)
    command = (f"--checkpoint={checkpoint}", "--input=.", "--output=out", "--noprogress")
    first = run(tmp_path, "restore", *command)
    assert first.returncode == 0, first.stderr
    (tmp_path / "out" / "b.png").unlink()
    kept = (tmp_path / "out" / "a.png").stat().st_mtime_ns
    line = refusal(run(tmp_path, "restore", *command))
    assert "lies within the input" in line
    again = run(tmp_path, "restore", *command, "--skip_existing")
    assert again.returncode == 0, again.stderr
    assert "1 are there already" in again.stdout
    assert {p.name for p in tmp_path.rglob("*.png")} == {"a.png", "b.png"}
    assert (tmp_path / "out" / "b.png").exists()
    assert (tmp_path / "out" / "a.png").stat().st_mtime_ns == kept


def plan_in_process(folder, pattern, output, **options):
    from fftdiff_jax.restore.folders import plan

    return plan(str(folder / pattern), folder / output, **options)


def test_no_result_takes_the_place_of_any_input(tmp_path):
    for name in ("in/a.png", "in/sub/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.coffee()[:20, :30]).save(tmp_path / name)
    with pytest.raises(UserError, match="would overwrite"):
        plan_in_process(tmp_path, "in", "in")
    with pytest.raises(UserError, match="lies within the input"):
        plan_in_process(tmp_path, "in", "in/sub")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.png").hardlink_to(tmp_path / "in" / "sub" / "a.png")
    with pytest.raises(UserError, match=r"other/a.png would overwrite .*in/sub/a.png"):
        plan_in_process(tmp_path, "in", "other")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(UserError, match="would overwrite"):
        plan_in_process(tmp_path, "in", "link")


def test_several_patterns_cost_no_photo_of_another_one(tmp_path):
    """What one word of `python -m fftdiff_jax A B` is restored to may be what the other names."""
    from fftdiff_jax.restore.folders import require_own_targets

    for name in ("in/sub/p.png", "out/sub/p.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.coffee()[:20, :30]).save(tmp_path / name)
    jobs = [
        *plan_in_process(tmp_path, "in", "out"),
        *plan_in_process(tmp_path, "out/sub", "out"),
    ]
    with pytest.raises(UserError, match=r"out/sub/p.png would overwrite"):
        require_own_targets(jobs)


def test_a_photo_and_a_map_of_one_name_are_refused(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "a.uncertainty.png"):
        Image.fromarray(data.coffee()[:20, :30]).save(tmp_path / "in" / name)
    assert len(plan_in_process(tmp_path, "in", "out")) == 2
    with pytest.raises(UserError, match=r"a.uncertainty.png is a photo, and the name of"):
        plan_in_process(tmp_path, "in", "out", maps=True)


def test_maps_of_photos_with_one_stem_do_not_collide(tmp_path):
    for name in ("a.png", "a.jpg", "b.png", "sub/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(data.coffee()[:20, :30]).save(tmp_path / name)
    jobs = plan_in_process(tmp_path, ".", "out", maps=True)
    assert {str(job.spread.relative_to(tmp_path / "out")) for job in jobs} == {
        *("a.png.uncertainty.png", "a.jpg.uncertainty.png"),
        *("b.uncertainty.png", "sub/b.uncertainty.png"),
    }


def test_a_photo_called_as_anothers_variant_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "a.variant2.jpg"):
        Image.fromarray(data.coffee()[:20, :30]).save(tmp_path / "in" / name)
    with pytest.raises(UserError, match=r"a.variant2.jpg is a photo, and the name of"):
        plan_in_process(tmp_path, "in", "out", variants=3)


def test_a_pattern_keeps_the_folders_after_its_first_wildcard(tmp_path):
    for name in ("one/x.png", "two/x.png", "two/y.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(data.coffee()[:20, :30]).save(tmp_path / name)
    jobs = plan_in_process(tmp_path, "*/*.png", "out")
    assert [str(job.target.relative_to(tmp_path / "out")) for job in jobs] == [
        "one/x.png", "two/x.png",
    ]  # fmt: skip


@pytest.mark.fault
def test_a_killed_restoration_leaves_whole_photos_and_goes_on(tmp_path, checkpoint):
    (tmp_path / "in").mkdir()
    for i in range(12):
        Image.fromarray(np.roll(data.coffee(), i, axis=1)).save(tmp_path / "in" / f"{i}.png")
    command = (f"--checkpoint={checkpoint}", "--input=in", "--output=out", "--noprogress")
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.restore", *command, "--steps=2"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.DEVNULL,
    )
    end = time.monotonic() + 300
    while not list((tmp_path / "out").glob("[0-9]*.png")):
        assert time.monotonic() < end, "nothing was restored"
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = {p.name: p.read_bytes() for p in (tmp_path / "out").glob("[0-9]*.png")}
    assert len(done) < 12
    again = run(tmp_path, "restore", *command, "--steps=2", "--skip_existing")
    assert again.returncode == 0, again.stderr
    for i in range(12):
        path = tmp_path / "out" / f"{i}.png"
        assert Image.open(path).convert("RGB").size == (600, 400)
        assert path.read_bytes() == done.get(path.name, path.read_bytes())


@pytest.mark.parametrize("command", ["experiments.restore -i a.png", "fftdiff_jax a.png"])
def test_the_weights_in_the_box_restore_where_no_checkpoint_is_named(tmp_path, command):
    photo = data.coffee()[:90, :120]
    Image.fromarray(photo).save(tmp_path / "a.png")
    result = subprocess.run(
        [sys.executable, "-m", *command.split(), "--output=out"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    restored = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    assert restored.shape == photo.shape
    # Without rain little changes: a clean photo stays one.
    assert np.sqrt(np.mean(np.square(restored.astype(float) - photo))) < 25


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--checkpoint=nowhere", "--input=a.png", "--output=out"), "nowhere"),
        (("--checkpoint={ok}", "--input=gone.png", "--output=out"), "gone.png"),
        (("--checkpoint={ok}", "--input=empty", "--output=out"), "no photo there"),
        (("--checkpoint={ok}", "--input=a.png", "--output=."), "would overwrite"),
        (("--checkpoint={ok}", "--input=a.png", "--output="), "--output is missing"),
        (("--checkpoint={ok}", "--input=a.png", "--output=--draws"), "looks like a flag"),
        (("--checkpoint={ok}", "--input=a.png", "--output=a.png"), "a.png is a file"),
        (("--checkpoint={ok}", "--input=a.png", "--output=a.png/b"), "a.png is a file"),
        (
            ("--checkpoint={ok}", "--input=a.png", "--output=out", "--uncertainty", "--draws=1"),
            "--draws=2",
        ),
        (
            ("--checkpoint={ok}", "--input=a.png", "--output=out", "--uncertainty", "--draws=0"),
            "--draws=2",
        ),
        (
            ("--checkpoint={ok}", "--input=a.png", "--output=out", "--uncertainty", "--realism=0"),
            "every draw is the same photo",
        ),
        (("--checkpoint={ok}", "--input=a.png", "--output=out", "--realism=2"), "realism"),
        (("--checkpoint={ok}", "--input=a.png", "--output=out", "--steps=0"), "steps"),
        (("--checkpoint={ok}", "--input=a.png", "--output=out", "--realism=nan"), "finite"),
        (("--checkpoint={ok}", "--input=a.png", "--output=out", f"--seed={20 * '9'}"), "too large"),
        (("--checkpoint={ok}", f"--input={300 * 'x'}", "--output=out"), "name too long"),
        (("--checkpoint={ok}", "--input=a.png", f"--output={300 * 'x'}"), "name too long"),
        (("--checkpoint=a.png", "--input=a.png", "--output=out"), "nor a file of weights"),
        (("--checkpoint=empty", "--input=a.png", "--output=out"), "no complete checkpoint"),
    ],
)
def test_refusals_are_one_line(tmp_path, checkpoint, flags, said):
    (tmp_path / "empty").mkdir()
    Image.fromarray(data.coffee()[:40, :50]).save(tmp_path / "a.png")
    line = refusal(run(tmp_path, "restore", *(f.format(ok=checkpoint) for f in flags)))
    assert said in line
    assert not (tmp_path / "out").exists()
