"""The command line of restore: every kind of photo, folders, refusals."""

import numpy as np
import pytest
from PIL import Image
from skimage import data

from fftdiff_jax.training.checkpoints import Checkpoints
from fftdiff_jax.training.state import create_state
from tests.commands import refusal, run


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tiny_restorer):
    folder = tmp_path_factory.mktemp("model")
    checkpoints = Checkpoints(folder)
    state = create_state(tiny_restorer.config)
    checkpoints.save(state.replace(ema_params=tiny_restorer._params), tiny_restorer.config, {})
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
    flags = (f"--checkpoint={checkpoint}", "--input=in", "--output=out", "--noprogress")
    result = run(folder, "restore", *flags)
    return folder, result


def test_photos_keep_names_sizes_and_kinds(restored):
    folder, result = restored
    found = {str(p.relative_to(folder / "out")) for p in (folder / "out").rglob("*") if p.is_file()}
    assert found == {
        *("plain.png", "deeper/photo.jpg", "grey.png", "alpha.png"),
        *("palette.png", "deep.png", "turned.jpg"),
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
    assert len(refused) == 2
    assert any("cut.jpg" in line for line in refused)
    assert any("text.png" in line for line in refused)
    assert "Traceback" not in result.stderr


def test_one_photo_with_draws_and_spread(tmp_path, checkpoint):
    Image.fromarray(data.coffee()[:40, :50]).save(tmp_path / "a.png")
    flags = ("--draws=2", "--steps=2", "--uncertainty", "--noprogress")
    command = (f"--checkpoint={checkpoint}", "--input=a.png", "--output=out", *flags)
    result = run(tmp_path, "restore", *command)
    assert result.returncode == 0, result.stderr
    spread = np.asarray(Image.open(tmp_path / "out" / "a.uncertainty.png"))
    assert spread.shape[:2] == (40, 50)
    assert spread.max() > 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--input=in", "--output=out"), "--checkpoint is missing"),
        (("--checkpoint=nowhere", "--input=a.png", "--output=out"), "nowhere"),
        (("--checkpoint={ok}", "--input=gone.png", "--output=out"), "gone.png"),
        (("--checkpoint={ok}", "--input=empty", "--output=out"), "no photo there"),
        (("--checkpoint={ok}", "--input=a.png", "--output=."), "would overwrite"),
        (("--checkpoint=empty", "--input=a.png", "--output=out"), "no complete checkpoint"),
    ],
)
def test_refusals_are_one_line(tmp_path, checkpoint, flags, said):
    (tmp_path / "empty").mkdir()
    Image.fromarray(data.coffee()[:40, :50]).save(tmp_path / "a.png")
    line = refusal(run(tmp_path, "restore", *(f.format(ok=checkpoint) for f in flags)))
    assert said in line
    assert not (tmp_path / "out").exists()
