"""The command line of inspect_spectra."""

import os

import pytest
from PIL import Image

from fftdiff_jax.training.checkpoints import Checkpoints
from fftdiff_jax.training.state import create_state
from tests.commands import refusal, run


def test_a_pair_is_drawn(tmp_path, pairs_csv):
    flags = (f"--manifest={pairs_csv}", "--split=val", "--index=1", "--output=figures/pair.png")
    result = run(tmp_path, "inspect_spectra", *flags)
    assert result.returncode == 0, result.stderr
    figure = Image.open(tmp_path / "figures" / "pair.png").convert("RGB")
    assert figure.width > 800
    assert len(figure.getcolors(1 << 24)) > 1000


def test_a_pair_that_is_not_there(tmp_path, pairs_csv):
    flags = (f"--manifest={pairs_csv}", "--index=99", "--output=pair.png")
    assert "has 6 pairs" in refusal(run(tmp_path, "inspect_spectra", *flags))


def test_names_that_no_file_can_have_are_refused_in_one_line(tmp_path, pairs_csv):
    long = 300 * "x"
    for flags in (
        (f"--manifest={long}.csv", "--output=pair.png"),
        (f"--manifest={pairs_csv}", f"--output={long}.png"),
    ):
        assert "too long" in refusal(run(tmp_path, "inspect_spectra", *flags))
    assert os.listdir(tmp_path) == []


def test_the_noise_is_drawn_without_a_restorer(tmp_path, pairs_csv):
    flags = (f"--manifest={pairs_csv}", "--figure=noising", "--output=noise.pdf")
    result = run(tmp_path, "inspect_spectra", *flags)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "noise.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_every_figure_of_a_restorer(tmp_path, tiny_restorer):
    """On the embedded photos; the small pairs of other tests hold no window for the rain."""
    checkpoints = Checkpoints(tmp_path / "model")
    checkpoints.save(create_state(tiny_restorer.config), tiny_restorer.config, {})
    checkpoints.close()
    flags = ("--figure=all", "--split=val", "--draws=2", "--steps=2", "--limit=2")
    command = ("--checkpoint=model", "--output=figures", *flags)
    result = run(tmp_path, "inspect_spectra", *command, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert result.returncode == 0, result.stderr
    names = ("draws", "error", "noising", "pair", "path", "rain")
    found = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert found == [f"{name}.png" for name in names]
    assert all(Image.open(tmp_path / "figures" / name).width > 800 for name in found)


def test_a_restorer_is_asked_for_before_anything_is_drawn(tmp_path, pairs_csv):
    flags = (f"--manifest={pairs_csv}", "--figure=all", "--output=figures", "--checkpoint=nowhere")
    assert "nowhere" in refusal(run(tmp_path, "inspect_spectra", *flags))
    assert not (tmp_path / "figures").exists()
