"""How many devices a CPU's cores become."""

import dataclasses

import pytest

from fftdiff_jax.config import Config
from fftdiff_jax.training.cluster.cores import choose_devices, count_cores


def recipe(batch: int) -> Config:
    config = Config()
    training = dataclasses.replace(config.training, batch_size=batch)
    return dataclasses.replace(config, training=training)


@pytest.mark.parametrize(
    ("batch", "cores", "devices"),
    [
        (16, 1, 1),
        (16, 2, 2),
        (16, 3, 2),  # 3 does not divide 16
        (16, 64, 16),
        (15, 8, 5),
        (1, 8, 1),
    ],
)
def test_as_many_as_divide_the_batch(batch, cores, devices):
    assert choose_devices([recipe(batch)], cores) == devices


def test_recipes_that_are_compared_share_one_number():
    assert choose_devices([recipe(16), recipe(24)], 16) == 8
    assert choose_devices([], 4) == 4


def test_there_is_a_core():
    assert count_cores() >= 1
