"""Where a run stands: what a checkpoint keeps of it, also one that was written long ago."""

import json

import pytest

from fftdiff_jax.training.position import Position

ROW = {"loss": 0.5, "gradient_norm": 2.0}


@pytest.mark.parametrize(
    "position", [Position(), Position((0.5, 0.25)), Position((), True), Position((), True, ROW)]
)
def test_a_position_survives_json(position):
    assert Position.from_dict(json.loads(json.dumps(position.to_dict()))) == position


@pytest.mark.parametrize(
    ("written", "position"),
    [
        ({"next_batch": 3, "losses": [0.5]}, Position((0.5,))),
        ({"next_batch": 4, "losses": [], "owed": {"row": None}}, Position((), True)),
        ({"next_batch": 4, "losses": [], "owed": {"row": ROW}}, Position((), True, ROW)),
    ],
)
def test_older_checkpoints_are_read(written, position):
    assert Position.from_dict(written) == position
