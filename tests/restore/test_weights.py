"""Weights in one file: what goes in comes out, and what is damaged is refused in one line."""

import dataclasses
import logging

import jax
import numpy as np
import pytest

from fftdiff_jax.config import RETIRED, from_dict, from_saved, to_dict
from fftdiff_jax.errors import UserError
from fftdiff_jax.method.unet import count_parameters
from fftdiff_jax.restore import weights
from fftdiff_jax.restore.open_weights import load_weights
from fftdiff_jax.restore.restorer import Restorer
from fftdiff_jax.training.checkpoints import Checkpoints
from fftdiff_jax.training.state import create_state


@pytest.fixture
def packed(tmp_path, tiny_restorer):
    path = tmp_path / "tiny.safetensors"
    weights.save_weights(path, tiny_restorer.params, tiny_restorer.config, "a test")
    return path


def test_weights_come_back_rounded_to_half_precision(packed, tiny_restorer):
    params, config = weights.read_weights(packed)
    assert config == tiny_restorer.config
    pairs = zip(jax.tree.leaves(params), jax.tree.leaves(tiny_restorer.params), strict=True)
    for found, given in pairs:
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.asarray(given, np.float16).astype(np.float32))


def test_a_file_restores_as_a_checkpoint_does(packed, tiny_restorer, rng):
    photo = rng.integers(0, 256, (40, 50, 3), np.uint8)
    from_file = Restorer.from_checkpoint(packed)(photo)
    expected = tiny_restorer(photo)
    assert np.abs(from_file.astype(int) - expected).max() <= 1


def test_a_run_is_opened_without_a_word(tmp_path, tiny_restorer, caplog):
    """Orbax warns of every folder that is only read; what is wrong is raised."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(create_state(tiny_restorer.config), tiny_restorer.config, {})
    checkpoints.close()
    caplog.clear()
    logger, given = logging.getLogger("absl"), logging.getLogger("absl").level
    logger.setLevel(logging.WARNING)  # as in a program that has not asked for quiet
    try:
        restorer = Restorer.from_checkpoint(tmp_path)
        assert logger.level == logging.WARNING
    finally:
        logger.setLevel(given)
    assert not caplog.messages
    assert repr(restorer) == f"Restorer({str(tmp_path)!r})"  # it has taken no step


def test_a_restorer_names_the_step_that_it_knows(packed, tiny_restorer):
    assert ", step" not in repr(Restorer.from_checkpoint(packed))
    trained = Restorer(tiny_restorer.params, tiny_restorer.config, 700, "runs/mine")
    assert repr(trained) == "Restorer('runs/mine', step 700)"


def test_what_is_damaged_or_missing_is_refused(packed, tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_weights(tmp_path / "none.safetensors")
    data = packed.read_bytes()
    packed.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="cannot be read"):
        load_weights(packed)
    packed.write_bytes(b"no weights at all")
    with pytest.raises(UserError, match="cannot be read"):
        load_weights(packed)


def test_weights_of_another_network_are_refused(packed, tiny_restorer):
    params, config = weights.read_weights(packed)
    wider = dataclasses.replace(config.model, widths=(16, 16))
    weights.save_weights(packed, params, dataclasses.replace(config, model=wider))
    with pytest.raises(UserError, match=r"has the shape .* the configuration wants"):
        load_weights(packed)
    deeper = dataclasses.replace(config.model, blocks=(2, 1))
    weights.save_weights(packed, params, dataclasses.replace(config, model=deeper))
    with pytest.raises(UserError, match="has no denoiser/unet/down_0_1"):
        load_weights(packed)


def test_the_weights_in_the_box_open_and_are_small():
    path = weights.pretrained_path()
    assert path.stat().st_size < 16e6
    restorer = Restorer.pretrained()
    assert 2 * count_parameters(restorer.params["first"]) < 12e6  # half precision: 2 bytes each
    photo = np.full((48, 64, 3), 128, np.uint8)
    # A grey card has no rain: nothing on it is changed by more than what nobody sees.
    assert np.abs(restorer(photo).astype(int) - photo).mean() < 8
    one, other = restorer.sample(photo, draws=2)
    assert (one != other).any()


def test_fields_that_are_no_more_are_passed_over_in_files_alone(tiny_restorer):
    values = to_dict(tiny_restorer.config)
    for path in RETIRED:
        group, name = path.split(".")
        assert name not in values[group]
        values[group][name] = 1.0
    assert from_saved(values) == tiny_restorer.config
    with pytest.raises(UserError, match="no such field"):
        from_dict(values)


def test_weights_of_an_earlier_version_are_refused_with_a_way_out(tmp_path, tiny_restorer):
    """Of one network for everything; as a file, and as the folder of a run."""
    config = tiny_restorer.config
    file, run = tmp_path / "old.safetensors", tmp_path / "run"
    weights.save_weights(file, tiny_restorer.params["denoiser"], config)
    state = create_state(config)
    old = [tree["denoiser"] for tree in (state.params, state.ema_params)]
    checkpoints = Checkpoints(run)
    checkpoints.save(state.replace(params=old[0], ema_params=old[1]), config, {})
    checkpoints.close()
    for place in (file, run):
        with pytest.raises(UserError, match=r"another version.*leave --checkpoint out") as refused:
            load_weights(place)
        assert "\n" not in str(refused.value)
