"""The command line of evaluate, as a user would call it, on a checkpoint without training."""

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from skimage import data as photos

from fftdiff_jax.config import Config, ModelConfig
from fftdiff_jax.data.images import save_png
from fftdiff_jax.data.manifest import write_manifest
from tests import commands
from tests.commands import refusal


def evaluate(folder: Path, *flags: str, **surroundings: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in `folder`."""
    return commands.run(folder, "evaluate", "--noprogress", *flags, **surroundings)


def columns(path: Path, *names: str) -> list[tuple[str, ...]]:
    with open(path, newline="") as file:
        return [tuple(row[name] for name in names) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three val pairs, one of train, and a checkpoint of a tiny network."""
    from fftdiff_jax.training.checkpoints import Checkpoints
    from fftdiff_jax.training.state import create_state

    folder = tmp_path_factory.mktemp("evaluate")
    rng = np.random.default_rng(0)
    rows = []
    for i, (height, width) in enumerate([(45, 61), (64, 40), (33, 50), (40, 40)]):
        clean = photos.coffee()[50 * i : 50 * i + height, 200 : 200 + width]
        rainy = np.clip(clean + 70 * (rng.random((height, width, 1)) > 0.9), 0, 255)
        names = [folder / "pairs" / f"{kind}_{i}.png" for kind in ("clean", "rainy")]
        for name, photo in zip(names, (clean, rainy.astype(np.uint8)), strict=True):
            save_png(name, photo)
        rows.append((str(names[0]), str(names[1]), "train" if i == 1 else "val"))
    write_manifest(folder / "pairs.csv", rows)
    config = Config(model=ModelConfig(widths=(8, 8), blocks=(1, 1)))
    for name, seed in (("first", 0), ("second", 1)):
        checkpoints = Checkpoints(folder / "runs" / name)
        state = create_state(config)
        noise = np.random.default_rng(seed)
        # Untrained networks begin as the identity; noise in the weights makes two that differ.
        shaken = {**state.ema_params}
        for key in shaken:
            shaken[key] = _shaken(shaken[key], noise)
        checkpoints.save(state.replace(ema_params=shaken), config, {})
        checkpoints.close()
    return folder


def _shaken(tree, noise: np.random.Generator):
    if isinstance(tree, dict):
        return {key: _shaken(value, noise) for key, value in tree.items()}
    return tree + 0.02 * noise.standard_normal(tree.shape).astype(np.float32)


COMMON = ("--checkpoint=runs/first", "--manifest=pairs.csv")


def test_scores_the_val_split_and_goes_on(folder: Path) -> None:
    first = evaluate(folder, *COMMON, "--output=scores", "--limit=1", "--steps=1")
    assert first.returncode == 0, first.stderr
    assert "split: val" in first.stdout
    assert "evaluating 1 pair of" in first.stdout
    assert "note:" not in first.stdout
    result = evaluate(folder, *COMMON, "--output=scores", "--steps=1")
    assert result.returncode == 0, result.stderr
    for name in ("summary.json", "metrics.csv", "before_after.png", "report.html"):
        assert str(Path("scores") / name) in result.stdout
        assert (folder / "scores" / name).stat().st_size > 100
    summary = json.loads((folder / "scores" / "summary.json").read_text())
    assert summary["num_images"] == 3
    assert summary["draws"] == 1  # a number of steps is about draws
    assert set(summary["rainy"]) == set(summary["restored"])
    assert f"{summary['restored']['psnr_y']:.2f}" in result.stdout
    files = [f"pairs/rainy_{i}.png" for i in (0, 2, 3)]
    assert columns(folder / "scores" / "metrics.csv", "file") == [(file,) for file in files]


@pytest.mark.slow
def test_steps_and_checkpoints_stand_in_one_table(folder: Path) -> None:
    result = evaluate(
        folder, *COMMON, "--compare=runs/second", "--steps=1,2", "--output=table", "--limit=2",
        "--draws=2", "--split=all", "--nolpips",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "note: 1 of them are of the split train" in result.stdout
    table = columns(folder / "table" / "comparison.csv", "name", "steps", "restored_psnr_y")
    assert [row[:2] for row in table] == [
        ("first", "1"), ("first", "2"), ("second", "1"), ("second", "2"),
    ]  # fmt: skip
    assert len({score for *_, score in table}) == 4
    for name, steps, score in table:
        summary = json.loads((folder / "table" / f"{name}_steps_{steps}/summary.json").read_text())
        assert summary["restored"]["psnr_y"] == float(score)
    assert (folder / "table" / "report.html").exists()


@pytest.mark.slow
def test_two_processes_make_what_one_makes(folder: Path) -> None:
    alone = evaluate(folder, *COMMON, "--output=alone", "--nolpips")
    assert alone.returncode == 0, alone.stderr
    assert json.loads((folder / "alone" / "summary.json").read_text())["draws"] == 0
    share = ("--output=shared", "--nolpips")
    first = evaluate(folder, *COMMON, *share, "--shard=0/2")
    assert first.returncode == 0, first.stderr
    assert "this part is done" in first.stdout
    assert not (folder / "shared" / "summary.json").exists()
    # The second one is told by srun which it is.
    second = evaluate(folder, *COMMON, *share, SLURM_STEP_NUM_TASKS="2", SLURM_PROCID="1")
    assert second.returncode == 0, second.stderr
    names = ("file", "row", "rainy_psnr_y", "restored_psnr_y", "restored_ssim_rgb")
    expected = columns(folder / "alone" / "metrics.csv", *names)
    assert columns(folder / "shared" / "metrics.csv", *names) == expected


@pytest.mark.fault
def test_a_killed_evaluation_goes_on(folder: Path) -> None:
    options = (*COMMON, "--split=all", "--draws=6", "--steps=4", "--nolpips")
    whole = evaluate(folder, *options, "--output=unkilled")
    assert whole.returncode == 0, whole.stderr
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.evaluate", "--noprogress", *options,
         "--output=killed"],
        cwd=folder,
        env=commands.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    table = folder / "killed" / "metrics.csv"
    end = time.monotonic() + 120
    while not (table.exists() and table.read_text().count("\n") > 1):
        assert time.monotonic() < end, "no photo was scored"
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (folder / "killed" / "summary.json").exists()
    again = evaluate(folder, *options, "--output=killed")
    assert again.returncode == 0, again.stderr
    names = ("file", "row", "rainy_psnr_y", "restored_psnr_y", "restored_ssim_rgb")
    assert columns(table, *names) == columns(folder / "unkilled" / "metrics.csv", *names)


@pytest.mark.slow
def test_other_weights_are_not_mixed_in(folder: Path) -> None:
    options = ("--manifest=pairs.csv", "--output=mixed", "--limit=1", "--nolpips")
    assert evaluate(folder, "--checkpoint=runs/first", *options).returncode == 0
    line = refusal(evaluate(folder, "--checkpoint=runs/second", *options))
    assert "holds results of model" in line
    assert "--restart" in line
    again = evaluate(folder, "--checkpoint=runs/second", *options, "--restart")
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--checkpoint=runs/none"], "runs/none: there is no such checkpoint"),
        (["--manifest=none.csv"], "none.csv: there is no such manifest"),
        (["--split=test"], "no row has the split 'test'; found train: 1, val: 3"),
        (["--steps=1,x"], "--steps=x: expected a whole number"),
        (["--steps=0"], "--steps=0: expected a whole number"),
        (["--process_index=0"], "--process_index and --process_count go together"),
        (["--process_index=2", "--process_count=2"], "count from 0"),
        (["--shard=2/2"], "--shard=2/2: expected K/N with K from 0 to N-1"),
        (["--shard=0/2", "--process_index=0"], "give one of them"),
        (["--output="], "--output is missing"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(folder: Path, flags: list[str], message: str) -> None:
    assert message in refusal(evaluate(folder, *COMMON, "--output=refused", *flags))
    assert not (folder / "refused").exists()


def test_unequal_sizes_are_refused_with_row_and_file(folder: Path) -> None:
    rows = [(str(folder / "pairs/clean_0.png"), str(folder / "pairs/rainy_2.png"), "")]
    write_manifest(folder / "unequal.csv", rows)
    line = refusal(evaluate(folder, *COMMON, "--manifest=unequal.csv", "--output=unequal"))
    assert "unequal.csv, row 2" in line
    assert "rainy_2.png 50 x 33 pixels" in line
    assert not (folder / "unequal").exists()
