"""Checkpoints whose files were altered: noticed, passed over, and kept for whoever looks."""

import contextlib

import pytest

from fftdiff_jax.errors import UserError
from fftdiff_jax.restore.checkpoint_reader import ITEMS
from fftdiff_jax.restore.open_weights import load_weights
from fftdiff_jax.training.checkpoints import Checkpoints
from tests.training.test_checkpoints import CONFIG, save, state_at

pytestmark = pytest.mark.fault


def files(item):
    found = [path for path in item.rglob("*") if path.is_file() and path.stat().st_size > 0]
    assert found
    return found


def flip(path):
    """Changes one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("change", [flip, truncate])
@pytest.mark.parametrize("item", ITEMS)
def test_one_altered_byte_and_the_checkpoint_before_is_used(tmp_path, item, change):
    save(tmp_path, {1: None, 2: None})
    folder = tmp_path / "checkpoints"
    change(max(files(folder / "2" / item), key=lambda path: path.stat().st_size))
    with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
        assert checkpoints.config() == CONFIG
        state, position = checkpoints.restore(CONFIG)
        assert int(state.step) == 1
        assert position == {"losses": [1]}
        assert sorted(path.name for path in folder.iterdir()) == ["1", "2.damaged"]
        checkpoints.save(state_at(2), CONFIG, {"losses": [2]})
        assert checkpoints.steps() == [1, 2]


def test_altered_weights_do_not_restore_photos(tmp_path):
    save(tmp_path, {1: None})
    flip(max(files(tmp_path / "checkpoints" / "1" / "weights"), key=lambda p: p.stat().st_size))
    with pytest.raises(UserError, match="was altered after it was written"):
        load_weights(tmp_path)


def test_a_kill_before_the_checksums_leaves_a_checkpoint_that_is_used(tmp_path):
    save(tmp_path, {1: None, 2: None})
    (tmp_path / "checkpoints" / "2" / "checksums.json").unlink()
    assert int(Checkpoints(tmp_path).restore(CONFIG)[0].step) == 2


def test_a_kill_while_a_checkpoint_is_replaced_leaves_one_of_the_two(tmp_path):
    folder = tmp_path / "checkpoints"
    save(tmp_path, {1: None, 2: None})
    (folder / "2").rename(folder / "2.replaced")
    assert Checkpoints(tmp_path).steps() == [1, 2]
    save(tmp_path, {})
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]
