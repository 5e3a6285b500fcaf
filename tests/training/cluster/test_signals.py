"""Stop signals: heard at any moment, obeyed between steps, and they change nothing of the run."""

import csv
import dataclasses
import functools
import os
import signal
import threading

import jax
import numpy as np
import pytest

from fftdiff_jax.config import Config, DataConfig, ModelConfig, RepresentationConfig, TrainingConfig
from fftdiff_jax.training import checkpoints as checkpoints_module
from fftdiff_jax.training import loop
from fftdiff_jax.training.checkpoints import Checkpoints
from fftdiff_jax.training.cluster.signals import (
    BY_HAND,
    CTRL_C,
    GO_ON,
    NO_SIGNAL,
    TERMINATE,
    Interrupted,
    StopSignals,
)


def send(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("number", "received"),
    [(signal.SIGTERM, TERMINATE), (signal.SIGUSR1, TERMINATE), (signal.SIGINT, CTRL_C)],
)
def test_a_signal_is_noted_and_nothing_else_happens(number, received):
    before = signal.getsignal(number)
    with StopSignals() as stop:
        assert stop.received == NO_SIGNAL
        send(number)
        assert stop.received == received
        with pytest.raises(Interrupted) as caught:
            stop.check("so far")
    assert caught.value.code == (BY_HAND if received == CTRL_C else GO_ON)
    assert str(caught.value) == "so far"
    assert signal.getsignal(number) is before


def test_ctrl_c_counts_more_than_a_scheduler_and_twice_ends_at_once():
    with StopSignals() as stop:
        send(signal.SIGINT)
        send(signal.SIGTERM)
        assert stop.received == CTRL_C
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_where_nothing_is_to_be_saved_a_signal_ends_at_once():
    with StopSignals() as stop:
        went_on = False
        try:
            with stop.at_once("evaluation"):
                send()
                went_on = True
        except Interrupted as end:
            assert str(end) == "evaluation"  # noqa: PT017
        assert not went_on
        assert stop.received == TERMINATE


def test_a_process_that_is_about_to_end_is_not_disturbed():
    before = signal.getsignal(signal.SIGTERM)
    try:
        with StopSignals() as stop:
            send()
            stop.ignore()
        send()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, before)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_threads_can_train_without_hearing_signals():
    failed = []

    def use():
        try:
            with StopSignals() as stop:
                assert stop.received == NO_SIGNAL
        except ValueError as error:
            failed.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert not failed


# ---- a signal in each phase of a run, and the run after it ---------------------------------------


COMPILED_ANEW = loop.make_train_step


@pytest.fixture(scope="module")
def programs():
    """Training steps that all runs of this module share; compiling them is most of a run's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "make_train_step", functools.cache(loop.make_train_step))
        yield


@pytest.fixture(scope="module")
def config(programs, pairs_csv, tmp_path_factory):
    cache = str(tmp_path_factory.mktemp("cache"))
    return Config(
        data=DataConfig(str(pairs_csv), crop_size=32, cache_dir=cache),
        model=ModelConfig(widths=(8, 16), blocks=(1, 1)),
        representation=RepresentationConfig(normalisation="constant"),
        training=TrainingConfig(
            steps=8,
            warmup_steps=3,
            batch_size=2,
            log_every=2,
            checkpoint_every=3,
            evaluate_every=4,
            evaluate_photos=2,
            evaluate_crop=32,
            sample_every=4,
        ),
    )


def result(workdir):
    with open(workdir / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["images_per_second"]
    checkpoints = Checkpoints(workdir)
    state, position = checkpoints.restore(checkpoints.config())
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
    return rows, position, checkpoints.steps(), leaves


@pytest.fixture(scope="module")
def uninterrupted(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_evaluate", lambda *unused: {})
        loop.train(config, folder, progress=False)
    return result(folder)


def during(owner, name, moment, nth=1):
    """Makes the `nth` call of owner.name send SIGTERM: before it, in it (by a timer), or after."""
    original, calls = getattr(owner, name), []

    def patched(*args, **kwargs):
        calls.append(None)
        now = len(calls) == nth
        if now and moment == "before":
            send()
        if now and moment == "within":
            threading.Timer(0.05, send).start()
        value = original(*args, **kwargs)
        if now and moment == "after":
            send()
        return value

    return patched


def signal_in_step(original, nth, moment):
    """Sends SIGTERM in the `nth` call of the training step; the first one compiles."""

    def make(config):
        step = original(config)
        return during(type("Step", (), {"call": staticmethod(step)}), "call", moment, nth)

    return make


PHASES = {
    "the first state": (loop, "create_state", "within", 1),
    "opening the log": (loop, "RunLog", "before", 1),
    "loading validation photos": (loop, "Validation", "after", 1),
    "validation": (loop.Validation, "score", "before", 1),
    "the last validation": (loop.Validation, "score", "before", 2),
    "sample pictures": (loop.Validation, "picture", "before", 1),
    "saving": (Checkpoints, "save", "before", 1),
    "between a checkpoint and its checksums": (checkpoints_module, "write_checksums", "before", 1),
    "right after saving": (Checkpoints, "save", "after", 1),
    "writing a row": (loop.RunLog, "write", "before", 1),
}
# Of the training step: which call, and when.
STEPS = {
    "the first compilation": (1, "within"),
    "the warm-up of the learning rate": (2, "before"),
    "the first step after the warm-up": (4, "before"),
}


@pytest.mark.slow
@pytest.mark.parametrize("phase", [*PHASES, *STEPS])
def test_a_signal_in_any_phase_changes_nothing(phase, config, uninterrupted, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_evaluate", lambda *unused: {})
    with monkeypatch.context() as patch:
        if phase in STEPS:
            first = phase == "the first compilation"
            original = COMPILED_ANEW if first else loop.make_train_step
            make = signal_in_step(original, *STEPS[phase])
            patch.setattr(loop, "make_train_step", make)
        else:
            owner, name, moment, nth = PHASES[phase]
            patch.setattr(owner, name, during(owner, name, moment, nth))
        with StopSignals() as stop, pytest.raises(Interrupted) as caught:
            loop.train(config, tmp_path, progress=False, stop=stop)
    assert caught.value.code == GO_ON
    saved = Checkpoints(tmp_path).steps()
    assert (not saved) == ("before a step" in str(caught.value))
    loop.train(config, tmp_path, progress=False)
    rows, position, steps, leaves = result(tmp_path)
    expected_rows, expected_position, expected_steps, expected_leaves = uninterrupted
    assert rows == expected_rows
    assert position == expected_position
    assert set(expected_steps) & set(steps) >= {8}
    for a, b in zip(leaves, expected_leaves, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_the_best_checkpoint_is_the_same_after_an_interrupted_validation(
    config, uninterrupted, tmp_path, monkeypatch
):
    """The validation that is made up for gives its score to the checkpoint that is there."""
    monkeypatch.setattr(loop, "_evaluate", lambda *unused: {})
    config = dataclasses.replace(
        config,
        training=dataclasses.replace(config.training, checkpoint_every=8),
    )
    with monkeypatch.context() as patch:
        patch.setattr(loop.Validation, "score", during(loop.Validation, "score", "before"))
        with StopSignals() as stop, pytest.raises(Interrupted):
            loop.train(config, tmp_path, progress=False, stop=stop)
    assert Checkpoints(tmp_path).steps() == [4]
    scores = iter(({"psnr_y": 30.0, "gain_y": 1.0}, {"psnr_y": 20.0, "gain_y": -9.0}))
    monkeypatch.setattr(loop.Validation, "score", lambda *unused, **more: next(scores))
    loop.train(config, tmp_path, progress=False)
    from fftdiff_jax.restore.open_weights import load_weights

    assert load_weights(tmp_path)[2] == 4
