"""How many devices a CPU's cores become."""

import dataclasses

import pytest

from fftdiff_jax.config import Config
from fftdiff_jax.training.cores import choose_devices, count_cores
from fftdiff_jax.training.step import noised_examples


def recipe(batch: int, **diffusion: float) -> Config:
    config = Config()
    return dataclasses.replace(
        config,
        training=dataclasses.replace(config.training, batch_size=batch),
        diffusion=dataclasses.replace(config.diffusion, **diffusion),
    )


@pytest.mark.parametrize(
    ("batch", "cores", "devices"),
    [
        (16, 1, 1),
        (16, 2, 2),
        (16, 3, 2),  # 3 does not divide 16
        (16, 64, 4),  # a quarter of less than 4 examples cannot be had
        (15, 8, 3),
        (1, 8, 1),
    ],
)
def test_as_many_as_leave_each_device_its_share_of_draws(batch, cores, devices):
    config = recipe(batch)
    assert choose_devices([config], cores) == devices
    each = noised_examples(config, batch // devices)
    assert devices * each.size == noised_examples(config, batch).size


def test_recipes_that_are_compared_share_one_number():
    assert choose_devices([recipe(16), recipe(16, draw_share=0.0)], 16) == 4
    assert choose_devices([recipe(16, draw_share=0.0)], 16) == 16
    assert choose_devices([], 4) == 4


def test_there_is_a_core():
    assert count_cores() >= 1
