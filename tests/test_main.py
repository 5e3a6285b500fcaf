"""fftdiff-jax and python -m fftdiff_jax, as they are typed."""

import importlib.metadata
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from fftdiff_jax import __version__
from fftdiff_jax.__main__ import VERBS
from tests.commands import ROOT, environment, processor_seconds, refusal


def start(folder, *words, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "fftdiff_jax", *words],
        cwd=folder,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder, *words, **more):
    command = [sys.executable, "-m", "fftdiff_jax", *words]
    return subprocess.run(
        command, cwd=folder, env=environment(**more), capture_output=True, text=True, check=False
    )


COUNT = 200  # photos that take so long that a busy machine hears of a signal before their end


@pytest.fixture
def photos(tmp_path, rng):
    """A folder of photos that takes a while."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(COUNT):
        photo = rng.integers(0, 256, (200, 260, 3), np.uint8)
        Image.fromarray(photo).save(folder / f"{i:03d}.png")
    return folder


@pytest.mark.parametrize("words", [(), ("-h",), ("--help",)])
def test_the_help_lists_every_verb_at_once(tmp_path, words):
    begin = processor_seconds()
    result = run(tmp_path, *words)
    assert processor_seconds() - begin < 0.5
    assert result.returncode == 0
    for verb in VERBS:
        assert re.search(rf"^  {verb} +\w.*$", result.stdout, re.MULTILINE), verb
    assert max(map(len, result.stdout.splitlines())) <= 100


@pytest.mark.parametrize("word", ["-h", "--version"])
def test_a_page_that_cannot_be_printed_is_one_line(tmp_path, word):
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "fftdiff_jax", word],
            cwd=tmp_path,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr == "error: the output cannot be written (no space left on device)\n"


def test_the_version_is_that_of_the_changelog(tmp_path):
    assert run(tmp_path, "--version").stdout == f"fftdiff-jax {__version__}\n"
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest
    assert newest[1] == __version__


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("trian", "--config=quickstart"), "no photo and no verb trian; did you mean train?"),
        (("trian.jpg",), "trian.jpg: there is no such photo or folder"),
        (("photo.jpg", "--uncertanty"), "did you mean --uncertainty?"),
        (("a.png", "sub/a.png"), "would share"),
        (("a.png", "a.jpg", "--uncertainty"), "would share"),
    ],
)
def test_a_slip_is_one_line(tmp_path, words, said):
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "sub/a.png", "a.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    assert said in refusal(run(tmp_path, *words))
    assert not (tmp_path / "restored").exists()


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (("a.png",), 1),
        (("restore", "a.png", "a.png"), 1),
        (("a.png", "-i", "sub", "-o", "out"), 2),
        (("./train", "sub/*.png"), 2),
        (("--", "-dash.png", "train", "a.png"), 3),
        (("--output=out", "--", "-dash.png"), 1),
    ],
)
def test_photos_are_named_in_any_way(tmp_path, words, count):
    """Also those called like a verb or a flag. The plan is said before JAX, which is not there."""
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "sub/b.png", "train", "-dash.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name, format="png")
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "jax.py").write_text("raise ImportError('JAX was imported')\n")
    result = run(tmp_path, *words, PYTHONPATH=f"{tmp_path / 'without'}:{ROOT}")
    said = f"restoring {count} photo{'s' * (count > 1)} into "
    assert result.stdout.startswith(said), result.stdout + result.stderr
    assert "JAX was imported" in result.stderr


def test_the_package_is_imported_at_once_and_its_names_when_used():
    program = (
        "import sys, time; begin = time.process_time(); import fftdiff_jax; "
        "seconds = time.process_time() - begin; "
        "assert not {'jax', 'numpy', 'absl'} & sys.modules.keys(); "
        "from fftdiff_jax import Config, Restorer; "
        "assert Config().training.steps and Restorer.pretrained; "
        "assert set(fftdiff_jax.__all__) == set(dir(fftdiff_jax)); "
        "assert not hasattr(fftdiff_jax, 'Restore'); print(seconds)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    assert float(found.stdout) < 0.2


def test_what_is_in_the_box_is_found_from_the_folder_above_the_checkout(tmp_path):
    """There the checkout's folder has the package's name, and is taken for a part of it."""
    try:
        importlib.metadata.distribution("fftdiff_jax")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("fftdiff_jax is not installed")
    (tmp_path / "fftdiff_jax").mkdir()
    surroundings = environment()
    del surroundings["PYTHONPATH"]
    program = (
        "from fftdiff_jax.evaluation import report; from fftdiff_jax.restore import weights; "
        "page = report.TEMPLATES / 'report.html.j2'; "
        "print(weights.pretrained_path().is_file(), page.is_file())"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=surroundings,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == ["True", "True"]


@pytest.mark.slow
def test_ctrl_c_ends_in_one_line_and_leaves_no_half_photo(photos, tmp_path):
    for number in range(4):
        output = tmp_path / f"restored_{number}"
        process = start(tmp_path, str(photos), f"--output={output}")
        deadline = time.monotonic() + 120
        # [!.]: a photo that is whole, not one being written.
        while not list(output.glob("[!.]*.png")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05 * (number + 1))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130, said
        assert said.strip().splitlines() == ["error: interrupted"]
        assert 0 < len(list(output.iterdir())) < COUNT
        for path in output.iterdir():
            assert Image.open(path).convert("RGB").size == (260, 200)
