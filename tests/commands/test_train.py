"""The command line of train: a run, a kill, a resume, and what is refused."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fftdiff_jax.data.images import save_png
from fftdiff_jax.data.manifest import read_manifest, write_manifest
from tests import tiny
from tests.commands import TINY, environment, refusal, run

FLAGS = (
    "--config=quickstart",
    "--noprogress",
    *TINY,
    "--config.data.rendered_rain=0.0",
    "--config.data.cache_dir=cache",
    "--config.training.steps=12",
    "--config.training.log_every=3",
    "--config.training.checkpoint_every=4",
    "--config.training.evaluate_every=6",
    "--config.training.evaluate_photos=2",
    "--config.training.sample_every=12",
)


def losses(workdir):
    with open(workdir / "metrics.csv", newline="") as file:
        return [(row["step"], row["loss"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, pairs_csv):
    """A whole run, from another folder than the checkout."""
    folder = tmp_path_factory.mktemp("train")
    result = run(folder, "train", *FLAGS, f"--config.data.manifest={pairs_csv}", "--workdir=run")
    assert result.returncode == 0, result.stderr
    return folder / "run", result


def test_a_run_leaves_what_it_promises(finished):
    workdir, result = finished
    assert [step for step, _ in losses(workdir)] == ["3", "6", "9", "12"]
    assert all(np.isfinite(float(loss)) for _, loss in losses(workdir))
    summary = json.loads((workdir / "summary.json").read_text())
    assert summary["num_images"] == 2
    assert {"psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb"} <= set(summary["restored"])
    assert Image.open(workdir / "before_after.png").width > 100
    assert sorted(p.name for p in (workdir / "samples").iterdir()) == ["0000012.png"]
    assert json.loads((workdir / "config.json").read_text())["training"]["steps"] == 12
    assert any(p.name.startswith("events") for p in workdir.iterdir())
    assert f"{summary['restored']['psnr_y']:.2f} dB" in result.stdout
    assert "compiling (about 20 s)" in result.stdout
    assert "going on" not in result.stdout
    named = [line.strip().split(": ", 1) for line in result.stdout.splitlines() if "  run/" in line]
    files = {Path(name).name for name, _ in named}
    assert files == {
        *("before_after.png", "summary.json", "metrics.csv", "samples", "checkpoints"),
        *("config.json", "events*"),
    }
    assert "tensorboard --logdir=run" in result.stdout
    assert "-m fftdiff_jax --checkpoint=run" in result.stdout
    # Nothing half-written is left behind.
    assert not [p for p in workdir.rglob("*") if "tmp" in p.name or p.name.startswith(".")]


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_curve(finished, tmp_path, pairs_csv):
    """SIGKILL between checkpoints, the same command again: equal losses to the last bit."""
    whole, _ = finished
    command = [
        *(sys.executable, "-m", "experiments.train", *FLAGS),
        f"--config.data.manifest={pairs_csv}",
        "--workdir=run",
    ]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 240
    while not (tmp_path / "run" / "checkpoints" / "8").exists():
        assert time.monotonic() < deadline, "no checkpoint in time"
        if process.poll() is not None:
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    result = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert losses(tmp_path / "run") == losses(whole)
    assert "going on from step 8 of 12; compiling" in result.stdout


@pytest.mark.slow
def test_devices_that_share_the_cores_train_the_same_network(tmp_path, pairs_csv):
    """Two devices of a core each, which is what a recipe gets where its batch allows it."""
    flags = (*FLAGS, f"--config.data.manifest={pairs_csv}", "--workdir=run", "--cpu_devices=2")
    # Of two examples a device one is trained for draws; a quarter would not go into them.
    tasks = ("--config.diffusion.draw_share=0.5",)
    result = run(tmp_path, "train", *flags, *tasks)
    assert result.returncode == 0, result.stderr
    (tmp_path / "one").mkdir()
    alone = (*flags[:-1], "--cpu_devices=1")
    result = run(tmp_path / "one", "train", *alone, *tasks)
    assert result.returncode == 0, result.stderr
    pairs = zip(losses(tmp_path / "run"), losses(tmp_path / "one" / "run"), strict=True)
    for (step, two), (_, one) in pairs:
        np.testing.assert_allclose(float(two), float(one), rtol=1e-4, err_msg=step)


def test_a_finished_run_only_evaluates_again(finished, pairs_csv):
    workdir, _ = finished
    before = losses(workdir)
    flags = (*FLAGS, f"--config.data.manifest={pairs_csv}", "--workdir=run")
    result = run(workdir.parent, "train", *flags)
    assert result.returncode == 0, result.stderr
    assert losses(workdir) == before


def test_another_configuration_is_kept_out_of_a_run(finished, pairs_csv):
    workdir, _ = finished
    flags = (*FLAGS, f"--config.data.manifest={pairs_csv}", "--workdir=run")
    line = refusal(run(workdir.parent, "train", *flags, "--config.training.seed=5"))
    assert "training.seed=0" in line
    assert "--workdir" in line


def test_a_loss_that_is_no_number_stops_the_run(tmp_path, pairs_csv):
    flags = (*FLAGS, f"--config.data.manifest={pairs_csv}", "--workdir=run")
    result = run(
        tmp_path,
        "train",
        *flags,
        "--config.model.block=plain",  # no norm keeps its features small
        "--config.training.learning_rate=1000",
        "--config.training.clip_norm=1e38",
    )
    line = next(line for line in result.stderr.splitlines() if line.startswith("error: "))
    assert result.returncode == 1
    assert "step " in line
    assert "learning_rate" in line
    saved = list((tmp_path / "run" / "checkpoints").glob("[0-9]*"))
    assert all(int(p.name) < int(line.split("step ")[1].split(":")[0]) for p in saved)


def test_a_photo_that_cannot_be_validated_on_is_named_before_the_first_step(tmp_path, pairs_csv):
    save_png(tmp_path / "small.png", np.zeros((8, 8, 3), np.uint8))
    rows = [(row.clean, row.rainy, row.split) for row in read_manifest(pairs_csv)]
    rows.append((str(tmp_path / "small.png"), str(tmp_path / "small.png"), "val"))
    write_manifest(tmp_path / "pairs.csv", rows)
    flags = (*FLAGS, "--config.data.manifest=pairs.csv", "--workdir=run")
    line = refusal(run(tmp_path, "train", *flags))
    assert "row 8" in line
    assert "8 x 8 pixels" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_changed_data_is_refused_until_it_is_accepted(tmp_path):
    csv = tiny.write_pairs(tmp_path / "pairs")
    flags = [*tiny.flags(csv, steps=2, every=2), "--workdir=run", "--noprogress"]
    flags.append("--compilation_cache=xla")
    assert run(tmp_path, "train", *flags).returncode == 0
    header, *rows = csv.read_text().splitlines()
    csv.write_text("\n".join([header, *rows[:-2], rows[-1], rows[-2]]) + "\n")
    line = refusal(run(tmp_path, "train", *flags))
    assert "row 4" in line
    assert "--accept_changed_data" in line
    result = run(tmp_path, "train", *flags, "--accept_changed_data")
    assert result.returncode == 0, result.stderr
    assert "warning: the data is not what it was" in result.stderr


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--config.training.stepz=3", "did you mean config.training.steps"),
        ("--config.training.steps=many", "expected int"),
        ("--config.model.widths=32", "expected a list"),
        ("--config.model.prediction=best", "known: image_consistent, direct"),
        ("--config.diffusion.target=eps", "known: clean, noise, velocity"),
        ("--config.diffusion.schedule=sigmoid", "known: cosine, linear"),
        ("--config.representation.name=wavelet", "known: log_ratio"),
        ("--config.sampling.sampler=euler", "known: ddim"),
        ("--config.model.widths=(8,16,32,64)", "4 resolutions and model.blocks 3"),
        ("--config.training.evaluate_every=0", "evaluate_every is 0"),
        ("--config.diffusion.draw_share=75", "draw_share is 75.0; it must be from 0 to 1"),
        ("--config.diffusion.noise=independent", 'noise must be "photo"'),
        ("--config.model.prediction=direct", "sampling.draws is 0; a direct network has no"),
        ("--config.training.freeze_first=True", "freeze_first wants training.initial_weights"),
        ("--config.training.evaluate_photos=0", "evaluate_photos is 0"),
        ("--config.sampling.steps=0", "config.sampling.steps is 0"),
        ("--config.training.ema_decay=1.5", "ema_decay is 1.5"),
        ("--config.training.learning_rate=-1", "learning_rate is -1.0; it must be from 0"),
        ("--config.training.clip_norm=1e999", "clip_norm is inf"),
        ("--config.training.seed=12345678901234567890", "seed is 12345678901234567890"),
        (f"--config.model.fold={5000 * '('}", "expected int"),
        ("--config.model.dtype=zzz", "known: float32, bfloat16"),
        ("--config.training.evaluate_crop=8", "evaluate_crop is 8"),
        ("--config.representation.rain_spectrum=(0.1,0.2)", "rain_spectrum has 2 numbers"),
        ("--config.data.manifest=nowhere.csv", "nowhere.csv"),
        ("--config=quickstrat", "did you mean quickstart"),
        ("--workdir=", "--workdir is missing"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(tmp_path, flag, said):
    line = refusal(run(tmp_path, "train", "--config=quickstart", "--workdir=run", flag))
    assert said in line
    assert not (tmp_path / "run" / "checkpoints").exists()
