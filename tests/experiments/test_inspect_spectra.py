"""The command line of inspect_spectra, and what all entry points share."""

import pytest
from PIL import Image

from tests.commands import refusal, run

COMMANDS = ("train", "evaluate", "restore", "prepare", "inspect_spectra")


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


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_how_to_call_it(tmp_path, command):
    result = run(tmp_path, command, "--help")
    assert result.returncode == 0
    assert f"python -m experiments.{command}" in result.stdout + result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_flag_is_one_line(tmp_path, command):
    assert "outptu" in refusal(run(tmp_path, command, "--outptu=x"))
    assert "unexpected argument 'x'" in refusal(run(tmp_path, command, "x"))
