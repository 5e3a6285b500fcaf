"""Recipes side by side, as a user compares them."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from tests import commands

SWEEP = """
from fftdiff_jax.config import Config, DiffusionConfig, ModelConfig, TrainingConfig

def get_sweep():
    base = dict(model=ModelConfig(widths=(8, 16), blocks=(1, 1)),
                training=TrainingConfig(steps=4, batch_size=4, evaluate_photos=1))
    return {
        "drawn": Config(**base),
        "regression": Config(diffusion=DiffusionConfig(draw_share=0.0), **base),
    }
"""


@pytest.fixture
def pairs(tmp_path, rng):
    """Four pairs of photos, two of them for validation."""
    with (tmp_path / "pairs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image_filepath", "image_rain_filepath", "split"])
        for i in range(4):
            clean = rng.integers(0, 256, (48, 64, 3), np.uint8)
            rainy = np.clip(clean.astype(int) + 30, 0, 255).astype(np.uint8)
            for name, photo in ((f"{i}.png", clean), (f"{i}_rain.png", rainy)):
                Image.fromarray(photo).save(tmp_path / name)
            writer.writerow([f"{i}.png", f"{i}_rain.png", "val" if i < 2 else "train"])
    return tmp_path


@pytest.mark.slow
def test_a_sweep_is_trained_scored_and_drawn_again(pairs):
    (pairs / "sweep.py").write_text(SWEEP)
    flags = (
        "--sweep=sweep.py",
        "--output=out",
        "--steps=1,2",
        "--realisms=0.5,1",
        "--draws=2",
        "--crop=32",
        "--noprogress",
        "--config.data.manifest=pairs.csv",
        "--config.data.crop_size=32",
    )
    result = commands.run(pairs, "compare", *flags)
    assert result.returncode == 0, result.stderr
    rows = json.loads((pairs / "out" / "results.json").read_text())
    found = {(row["recipe"], row["steps"], row["realism"], row["draws"]): row for row in rows}
    # The first estimate, then draws; a recipe that trains no network for draws has none.
    ways = [(1, 1.0, 0), (1, 0.5, 2), (1, 1.0, 2), (2, 0.5, 2), (2, 1.0, 2)]
    expected = {("drawn", *way) for way in ways} | {("regression", *ways[0]), ("rainy", 0, 0.0, 0)}
    assert set(found) == expected
    drawn = found["drawn", 2, 1.0, 2]
    assert found["drawn", 1, 1.0, 0]["whole_psnr_y"] > 0
    assert drawn["draw_kernel_3"] is not None
    assert drawn["crops"] == 2
    assert len(drawn["spread_over_error_by_band"]) == 8
    table = (pairs / "out" / "table.md").read_text()
    assert len(table.splitlines()) == 2 + len(rows)
    assert (pairs / "out" / "figure.png").stat().st_size > 10_000

    (pairs / "out" / "table.md").unlink()
    again = commands.run(pairs, "compare", "--output=out", "--redraw")
    assert again.returncode == 0, again.stderr
    assert (pairs / "out" / "table.md").read_text() == table

    # What is scored already is not scored again.
    again = commands.run(pairs, "compare", *flags)
    assert again.returncode == 0, again.stderr
    assert "draws: " not in again.stdout  # the line of a way that was scored
    assert json.loads((pairs / "out" / "results.json").read_text()) == rows

    # Weights that are there already, in the same ways: the same scores.
    ready = ("--checkpoints=out/drawn-0", "--manifest=pairs.csv", *flags[2:7])
    scored = commands.run(pairs, "compare", "--output=ready", *ready)
    assert scored.returncode == 0, scored.stderr
    found = {
        (row["steps"], row["realism"]): row
        for row in json.loads((pairs / "ready" / "results.json").read_text())
    }
    assert found[2, 1.0]["psnr_y"] == pytest.approx(drawn["psnr_y"], abs=1e-3)
    assert found[2, 1.0]["training_steps"] == 4


@pytest.mark.slow
def test_seeds_are_trained_for_equal_minutes(pairs):
    (pairs / "sweep.py").write_text(SWEEP)
    result = commands.run(
        pairs,
        "compare",
        "--sweep=sweep.py",
        "--only=drawn",
        "--seeds=0,1",
        "--minutes=0.005",
        "--output=out",
        "--crop=32",
        "--noprogress",
        "--config.data.manifest=pairs.csv",
        "--config.data.crop_size=32",
    )
    assert result.returncode == 0, result.stderr
    rows = json.loads((pairs / "out" / "results.json").read_text())
    trained = {row["seed"]: row["training_steps"] for row in rows if row["recipe"] != "rainy"}
    assert set(trained) == {0, 1}
    for seed, steps in trained.items():
        assert steps >= 1
        written = (pairs / "out" / f"drawn-{seed}" / "metrics.csv").read_text()
        assert written.splitlines()[-1].split(",")[0] == str(steps)


def test_nothing_to_compare_is_one_line(tmp_path):
    assert "give --recipes" in commands.refusal(commands.run(tmp_path, "compare", "--output=out"))
    refused = commands.run(tmp_path, "compare", "--output=out", "--redraw")
    assert "nothing to draw from" in commands.refusal(refused)
    refused = commands.run(tmp_path, "compare", "--output=out", "--sweep=none.py")
    assert "no such file" in commands.refusal(refused)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "results.json").write_text('[{"recipe": "a", "noise_scale": 1.0}]')
    refused = commands.run(tmp_path, "compare", "--output=old", "--redraw")
    assert "written by another version" in commands.refusal(refused)
    (tmp_path / "sweep.py").write_text(SWEEP)
    flags = ("--output=out", "--sweep=sweep.py", "--only=drawm")
    refused = commands.run(tmp_path, "compare", *flags)
    assert "did you mean drawn?" in commands.refusal(refused)
    for flag, said in (
        ("--seeds=a", "--seeds: 'a' is no number"),
        ("--steps=1,x", "--steps: 'x' is no number"),
        ("--realisms=2", "--realisms: 2 is out of range"),
        ("--realisms=x", "--realisms: 'x' is no number"),
        ("--realisms=0,1", "at 0 every draw is the first estimate"),
        ("--only=drawn", "none is given"),
    ):
        refused = commands.run(tmp_path, "compare", "--output=out", "--recipes=quickstart", flag)
        assert said in commands.refusal(refused)
