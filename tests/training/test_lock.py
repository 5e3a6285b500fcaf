"""One trainer a folder: the second is refused, a dead one is in nobody's way."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fftdiff_jax.config import Config, DataConfig, ModelConfig, RepresentationConfig, TrainingConfig
from fftdiff_jax.errors import UserError
from fftdiff_jax.training import lock as lock_module
from fftdiff_jax.training import loop
from fftdiff_jax.training.lock import FILE, TrainerLock
from tests import tiny
from tests.commands import ROOT, environment

HOLDER = """
import sys, time
from pathlib import Path
from fftdiff_jax.training.lock import TrainerLock
held = TrainerLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that trains in the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_is_refused_by_name_and_a_killed_one_leaves_nothing(tmp_path, other):
    for _ in range(2):  # a refusal takes nothing away from who is there
        with pytest.raises(UserError, match=f"by process {other.pid} on .*; wait for its end"):
            TrainerLock(tmp_path)
    other.send_signal(signal.SIGKILL)
    other.wait()
    lock = TrainerLock(tmp_path)
    assert lock.is_held()
    with pytest.raises(UserError, match=f"by process {os.getpid()} on"):
        TrainerLock(tmp_path)
    lock.close()
    TrainerLock(tmp_path).close()


def test_what_a_trainer_starts_does_not_hold_its_folder(tmp_path):
    lock = TrainerLock(tmp_path)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    lock.close()
    try:
        TrainerLock(tmp_path).close()
    finally:
        child.kill()
        child.wait()


def no_locks(*unused):
    raise OSError(errno.ENOLCK, "No locks available")


def test_without_locks_the_one_before_notices_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", no_locks)
    first = TrainerLock(tmp_path)
    assert first.is_held()
    second = TrainerLock(tmp_path)
    assert (first.is_held(), second.is_held()) == (False, True)
    for lock in (first, second):
        lock.close()


def test_the_lock_of_another_machine_is_waited_for(tmp_path, monkeypatch, caplog):
    """A machine that was lost: its file server takes a while to notice."""
    (tmp_path / FILE).write_text("process 7 on elsewhere 1234")
    answers = [BlockingIOError(errno.EAGAIN, "busy")] * 2 + [None]

    def busy_at_first(*unused):
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    monkeypatch.setattr(fcntl, "flock", busy_at_first)
    monkeypatch.setattr(lock_module.time, "sleep", lambda seconds: None)
    waits = []
    lock = TrainerLock(tmp_path, lambda: waits.append(1))
    assert lock.is_held()
    assert len(waits) == 2
    assert caplog.text.count("process 7 on elsewhere") == 1
    lock.close()


def test_the_lock_of_another_machine_is_not_waited_for_without_end(tmp_path, monkeypatch):
    (tmp_path / FILE).write_text("process 7 on elsewhere 1234")

    def busy(*unused):
        raise BlockingIOError(errno.EAGAIN, "busy")

    monkeypatch.setattr(fcntl, "flock", busy)
    monkeypatch.setattr(lock_module, "PATIENCE", -1)
    with pytest.raises(UserError, match="by process 7 on elsewhere"):
        TrainerLock(tmp_path)


def test_a_lock_that_cannot_be_written_is_one_line(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("kept")
    (tmp_path / FILE).symlink_to(precious)
    with pytest.raises(UserError, match="cannot be written"):
        TrainerLock(tmp_path)
    assert precious.read_text() == "kept"
    (tmp_path / FILE).unlink()
    os.mkfifo(tmp_path / FILE)
    with pytest.raises(UserError, match="cannot be written"):
        TrainerLock(tmp_path)


def config_of(folder: Path) -> Config:
    return Config(
        data=DataConfig(
            str(tiny.write_pairs(folder / "pairs")), crop_size=32, cache_dir=str(folder / "cache")
        ),
        model=ModelConfig(widths=(8,), blocks=(1,)),
        representation=RepresentationConfig(normalisation="constant"),
        training=TrainingConfig(steps=4, batch_size=2, log_every=1, checkpoint_every=2),
    )


def test_a_second_run_changes_nothing_and_the_first_ends_when_it_is_replaced(tmp_path, monkeypatch):
    config, run = config_of(tmp_path), tmp_path / "run"
    run.mkdir()
    held = TrainerLock(run)
    with pytest.raises(UserError, match="is being trained in by"):
        loop.train(config, run, progress=False)
    assert [path.name for path in run.iterdir()] == [FILE]
    held.close()

    make, steps = loop.make_train_step, []

    def make_interrupted(of):
        step = make(of)

        def take(*given):
            steps.append(None)
            if len(steps) == 3:  # where there are no locks, another machine's trainer comes
                (run / FILE).write_text("process 7 on elsewhere 1234")
            return step(*given)

        return take

    with monkeypatch.context() as patch:
        patch.setattr(loop, "make_train_step", make_interrupted)
        with pytest.raises(UserError, match="another trainer has begun in the same --workdir"):
            loop.train(config, run, progress=False)
    assert [row[0] for row in tiny.losses(run)] == ["1", "2"]
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["2"]
    loop.train(config, run, progress=False)
    assert [row[0] for row in tiny.losses(run)] == ["1", "2", "3", "4"]
