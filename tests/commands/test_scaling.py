"""The arithmetic of more GPUs."""

import pytest

from fftdiff_jax.commands.benchmarks.ring import START, Link
from fftdiff_jax.commands.benchmarks.scaling import (
    Measured,
    Rates,
    Work,
    count_work,
    expect,
    measure_step,
)
from fftdiff_jax.config import Config, DataConfig, ModelConfig, TrainingConfig

RATES = Rates(
    float32=1e12,
    bfloat16=4e12,
    memory=1e9,
    within=Link("bus", 1e9, latency=0.0),
    between=Link("network", 1e8, latency=0.0),
    gpus_a_node=4,
)
CONFIG = Config(training=TrainingConfig(batch_size=16, steps=3600))
WORK = Work(operations=1e11, traffic=5e8, gradients=1e8, parameters=25_000_000)


def test_one_gpu_computes_and_sends_nothing():
    found = expect(CONFIG, WORK, 1, RATES)
    assert found.exchange == 0
    assert found.seconds == pytest.approx((1.6, 8.0))
    assert found.images == pytest.approx((10, 2))
    assert found.hours == pytest.approx((1.6, 8.0))


def test_gradients_travel_slower_between_nodes():
    inside, across = (expect(CONFIG, WORK, gpus, RATES) for gpus in (4, 8))
    assert inside.exchange == pytest.approx(START + 2 * 3 / 4 * 0.1)
    assert across.exchange == pytest.approx(START + 2 * 7 / 8 * 1.0)
    assert across.seconds[0] == pytest.approx(START + 0.2 + 1.75)


def test_bfloat16_is_counted_at_its_own_rate():
    fast = Config(model=ModelConfig(dtype="bfloat16"), training=CONFIG.training)
    assert expect(fast, WORK, 1, RATES).seconds[0] == pytest.approx(0.4)


def test_work_is_counted_from_the_program():
    small, large = (
        count_work(Config(model=ModelConfig(widths=(width,), blocks=(1,)))) for width in (8, 16)
    )
    assert small.gradients == 4 * small.parameters
    assert 2 < large.parameters / small.parameters < 5
    # Forward and backward passes of convolutions: some six operations a weight and output.
    assert 1.5 < large.operations / small.operations < 5
    assert small.traffic > 0


def test_a_measured_step_is_compared_with_matrix_products():
    assert Measured(4, seconds=2.0, products=1e12).share(WORK) == pytest.approx(0.2)


def test_a_step_is_measured():
    config = Config(
        data=DataConfig(crop_size=16),
        model=ModelConfig(widths=(8,), blocks=(1,)),
    )
    found = measure_step(config, examples=4, repeats=2)
    assert found.examples == 4
    assert 0 < found.share(count_work(config)) < 1
