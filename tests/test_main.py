"""python -m fftdiff_jax, as it is typed."""

import importlib.metadata
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from tests.commands import environment


def start(folder, *words, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "fftdiff_jax", *words],
        cwd=folder,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def photos(tmp_path, rng):
    """A folder of photos that takes a while."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(40):
        photo = rng.integers(0, 256, (200, 260, 3), np.uint8)
        Image.fromarray(photo).save(folder / f"{i:02d}.png")
    return folder


def test_a_flag_that_is_not_here_leads_to_the_command_that_has_it(tmp_path):
    process = start(tmp_path, "photo.jpg", "--uncertainty")
    _, said = process.communicate()
    assert process.returncode == 2
    assert "--uncertainty" in said
    assert "experiments.restore" in said


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
        "from pathlib import Path; from fftdiff_jax import report, weights; "
        "print(weights.pretrained_path().is_file(), report.PAGE.is_file())"
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
        assert 0 < len(list(output.iterdir())) < 40
        for path in output.iterdir():
            assert Image.open(path).convert("RGB").size == (260, 200)
