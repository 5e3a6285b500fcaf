"""A full disk: what was saved stays, training says so, and goes on or stops as it is set."""

import contextlib
import shutil

import jax
import numpy as np
import pytest

from fftdiff_jax.config import Config, ModelConfig
from fftdiff_jax.errors import UserError
from fftdiff_jax.training import checkpoints as module
from fftdiff_jax.training.checkpoints import Checkpoints, SaveError
from fftdiff_jax.training.log import RunLog
from fftdiff_jax.training.state import create_state
from tests import tiny
from tests.faults.disks import fill, small_disk
from tests.processes import command, heard, newest, run, started, wait_for_step

pytestmark = pytest.mark.fault

CONFIG = Config(model=ModelConfig(widths=(8, 16), blocks=(1, 1)))


def at(state, step):
    return state.replace(step=state.step + step)


@pytest.mark.parametrize("moment", ["known before", "in the middle of writing"])
def test_a_save_on_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch, moment):
    state = create_state(CONFIG)
    need = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    with (
        small_disk(tmp_path / "disk", 20) as disk,
        contextlib.closing(Checkpoints(disk)) as checkpoints,
    ):
        checkpoints.save(at(state, 1), CONFIG, {"losses": [1]})
        filler = fill(disk, leave=need // 2)
        if moment == "in the middle of writing":  # as with a quota, which no one can ask for
            free = shutil.disk_usage(disk)._replace(free=10 * need)
            monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: free)
        for _ in range(2):
            with pytest.raises(SaveError, match="step 2 could not be saved") as caught:
                checkpoints.save(at(state, 2), CONFIG, {"losses": [2]})
            assert "\n" not in str(caught.value)
            assert checkpoints.steps() == [1]
        assert [p.name for p in (disk / "checkpoints").iterdir()] == ["1"]
        restored, position = checkpoints.restore(CONFIG)
        assert position == {"losses": [1]}
        for a, b in zip(jax.tree.leaves(restored), jax.tree.leaves(at(state, 1)), strict=True):
            np.testing.assert_array_equal(a, b)
        filler.unlink()
        checkpoints.save(at(state, 2), CONFIG, {"losses": [2]})
        assert checkpoints.steps() == [1, 2]


def test_a_log_on_a_full_disk_loses_rows_and_keeps_its_form(tmp_path):
    with small_disk(tmp_path / "disk", 1) as disk:
        log = RunLog(disk, 0)
        log.write(1, {"loss": 0.5})
        filler = fill(disk)
        failed = 0
        for step in range(2, 200):
            try:
                log.write(step, {"loss": 0.5})
            except UserError:
                failed += 1
        assert failed > 100
        filler.unlink()
        log.write(200, {"loss": 0.25})
        log.close()
        lines = (disk / "metrics.csv").read_text().splitlines()
        assert lines[1].startswith("1,0.5")
        assert lines[-1].startswith("200,0.25")
        assert {line.count(",") for line in lines} == {lines[0].count(",")}


@pytest.mark.parametrize("setting", ["continue", "stop"])
def test_a_run_on_a_disk_that_fills(tmp_path, setting):
    manifest = tiny.write_pairs(tmp_path / "pairs")
    with small_disk(tmp_path / "disk", 20) as disk:
        flags = [
            *tiny.flags(manifest, steps=400, every=5),
            f"--config.training.on_save_error={setting}",
        ]
        arguments = command(flags, disk / "run")
        with started(arguments) as (process,):
            # Step 5 is whole when step 10 is there; step 10 may still lack its checksums.
            wait_for_step(disk / "run", 10, process)
            filler = fill(disk, leave=4096)
            if setting == "stop":
                output = heard(process)
                assert process.returncode == 1, output
            else:
                for line in process.stdout:
                    if "could not be saved" in line:
                        break
                else:
                    raise AssertionError("no warning was printed")
                assert line.startswith("warning: ")
                assert "training goes on" in line
                kept = newest(disk / "run")
                filler.unlink()
                wait_for_step(disk / "run", kept + 5, process)
                output = heard(process)
                assert process.returncode == 0, output
                assert newest(disk / "run") == 400
        if setting == "stop":
            assert "free some space" in output
            assert "Traceback" not in output
            kept = newest(disk / "run")
            assert kept >= 5
            filler.unlink()
            ((code, output),) = run(arguments)
            assert code == 0, output
            assert [int(row[0]) for row in tiny.losses(disk / "run")] == list(range(1, 401))
