"""Checkpoints: what is kept, what comes back, and what a damaged one does."""

import contextlib
import dataclasses
import errno
import json
import shutil
import subprocess
import sys
import textwrap

import jax
import numpy as np
import pytest

from fftdiff_jax.config import Config, ModelConfig
from fftdiff_jax.errors import UserError
from fftdiff_jax.restore.open_weights import load_weights
from fftdiff_jax.training import checkpoints as checkpoints_module
from fftdiff_jax.training.checkpoints import Checkpoints, SaveError
from fftdiff_jax.training.state import create_state
from tests import quick_xla
from tests.commands import ROOT, environment

CONFIG = Config(model=ModelConfig(widths=(8, 16), blocks=(1, 1)))
START = create_state(CONFIG)


def state_at(step):
    """A state whose numbers tell its step."""
    state = START
    shift = lambda tree: jax.tree.map(lambda leaf: leaf + step, tree)  # noqa: E731
    return state.replace(
        step=state.step + step, params=shift(state.params), ema_params=shift(state.ema_params)
    )


def save(workdir, scores):
    checkpoints = Checkpoints(workdir)
    for step, score in scores.items():
        checkpoints.save(
            state_at(step), CONFIG, {"losses": [step]}, {"psnr_y": score} if score else None
        )
    checkpoints.close()


def test_a_state_comes_back_to_the_last_bit(tmp_path):
    save(tmp_path, {7: None})
    state, position = Checkpoints(tmp_path).restore(CONFIG)
    assert position == {"losses": [7]}
    expected = state_at(7)
    assert jax.tree.structure(state) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_the_newest_two_and_the_best_are_kept(tmp_path):
    save(tmp_path, {1: 20.0, 2: 30.0, 3: 25.0, 4: None, 5: 26.0, 6: None})
    assert Checkpoints(tmp_path).steps() == [2, 5, 6]
    params, config, step = load_weights(tmp_path)
    assert step == 2
    assert config == CONFIG
    for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(state_at(2).ema_params), strict=True):
        np.testing.assert_array_equal(a, b)
    assert load_weights(tmp_path / "checkpoints")[2] == 2
    assert load_weights(tmp_path / "checkpoints" / "6")[2] == 6


def test_without_scores_the_newest_restores(tmp_path):
    save(tmp_path, {1: None, 2: None})
    assert load_weights(tmp_path)[2] == 2


def test_a_folder_that_is_deleted_meanwhile_is_one_line(tmp_path):
    checkpoints = Checkpoints(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(UserError, match="is gone") as caught:
        checkpoints.save(state_at(1), CONFIG, {"losses": [1]})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_too_little_free_space_is_noticed_before_anything_is_written(tmp_path, monkeypatch):
    save(tmp_path, {1: None})
    need, disk = sum(leaf.nbytes for leaf in jax.tree.leaves(START)), shutil.disk_usage(tmp_path)
    free = [need, 2 * need]
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: disk._replace(free=free.pop(0)))
    with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
        with pytest.raises(SaveError, match=r"it takes \d+ MB, \d+ MB are free"):
            checkpoints.save(state_at(2), CONFIG, {})
        assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["1"]
        checkpoints.save(state_at(2), CONFIG, {})
        assert checkpoints.steps() == [1, 2]


def test_a_checkpoint_whose_replacement_fails_is_put_back(tmp_path, monkeypatch):
    """A run that makes up for a validation saves its last step again, with the scores."""
    save(tmp_path, {1: None, 2: None})

    def full(folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
        with monkeypatch.context() as patch:
            patch.setattr(checkpoints_module, "write_checksums", full)
            with pytest.raises(SaveError, match="No space left"):
                checkpoints.save(state_at(2), CONFIG, {"losses": [9.0]})
        assert checkpoints.steps() == [1, 2]
        state, position = checkpoints.restore(CONFIG)
    assert int(state.step) == 2
    assert position == {"losses": [2]}
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["1", "2"]


def test_an_empty_folder_is_a_new_run(tmp_path):
    assert Checkpoints(tmp_path).restore(CONFIG) is None
    assert Checkpoints(tmp_path).config() is None


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, damage):
    save(tmp_path, {1: None, 2: None})
    damage_step(tmp_path / "checkpoints" / "2", damage)
    state, position = Checkpoints(tmp_path).restore(CONFIG)
    assert int(state.step) == 1
    assert position == {"losses": [1]}


def test_when_all_are_damaged_one_line_says_so(tmp_path):
    save(tmp_path, {1: None})
    damage_step(tmp_path / "checkpoints" / "1", "truncated")
    with pytest.raises(UserError, match="no checkpoint can be read") as caught:
        Checkpoints(tmp_path).restore(CONFIG)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="cannot be read"):
        load_weights(tmp_path)


def test_an_unfinished_checkpoint_is_not_taken(tmp_path):
    """What a kill in the middle of a save leaves: a folder under a temporary name."""
    save(tmp_path, {1: None, 2: None})
    folder = tmp_path / "checkpoints"
    shutil.move(folder / "2", folder / "2.orbax-checkpoint-tmp-0")
    assert Checkpoints(tmp_path).steps() == [1]


def test_a_folder_without_checkpoints_is_refused(tmp_path):
    with pytest.raises(UserError, match="no complete checkpoint"):
        load_weights(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        load_weights(tmp_path / "elsewhere")


def test_a_field_of_another_version_is_named(tmp_path):
    save(tmp_path, {1: None})
    file = tmp_path / "checkpoints" / "1" / "config" / "metadata"
    tree = json.loads(file.read_text())
    tree["model"]["depth"] = 3
    file.write_text(json.dumps(tree))
    (tmp_path / "checkpoints" / "1" / "checksums.json").unlink()
    with pytest.raises(UserError, match=r"config.model.depth"):
        load_weights(tmp_path)
    with pytest.raises(UserError, match=r"another version.*model.depth.*another --workdir"):
        Checkpoints(tmp_path).config()


PROGRAM = """
    import sys
    from pathlib import Path
    from tests.training.test_checkpoints import CONFIG
    from fftdiff_jax.training.checkpoints import Checkpoints
    from fftdiff_jax.training.examples import Batch
    from fftdiff_jax.training.step import make_train_step
    import jax, numpy as np
    state, _ = Checkpoints(Path(sys.argv[1])).restore(CONFIG)
    devices = jax.local_device_count()
    crops = np.zeros((devices, 4 // devices, 32, 32, 3), np.uint8)
    state, numbers = make_train_step(CONFIG)(state, Batch(crops, crops), None)
    Checkpoints(Path(sys.argv[1])).save(state, CONFIG, {})
    print(devices, int(state.step))
"""


@pytest.mark.slow
def test_a_run_moves_between_numbers_of_devices(tmp_path):
    save(tmp_path, {3: None})
    for count, step in ((2, 4), (1, 5), (4, 6)):
        result = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(PROGRAM), str(tmp_path)],
            cwd=ROOT,
            env=environment(XLA_FLAGS=quick_xla.with_devices(count)),
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout.split()[-2:] == [str(count), str(step)]
    assert int(Checkpoints(tmp_path).restore(CONFIG)[0].step) == 6
    assert dataclasses.asdict(Checkpoints(tmp_path).config()) == dataclasses.asdict(CONFIG)


def damage_step(folder, damage):
    data = [p for p in (folder / "weights").rglob("*") if p.is_file() and p.stat().st_size > 5000]
    assert data
    for path in data:
        if damage == "missing":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:1000])
