"""Many GPUs on paper: rings, efficiency, and what a compiled program sends."""

import dataclasses
import math
import subprocess
import sys

import pytest

from fftdiff_jax.commands import shared
from fftdiff_jax.commands.benchmarks.collectives import AllReduce, all_reduces
from fftdiff_jax.commands.benchmarks.efficiency import NETWORKS, Job, by_batch, by_network
from fftdiff_jax.commands.benchmarks.ring import (
    LINKS,
    START,
    Link,
    Ring,
    efficiency,
    smallest_batch,
)
from tests.commands import ROOT, environment, refusal, run

BUS, WIRE = Link("bus", 1e9, 1e-5), Link("wire", 1e8, 1e-4)
SIZE = 8e7


def test_a_ring_takes_two_rounds_for_each_other_gpu():
    for gpus in (2, 3, 4):
        found = Ring(gpus, gpus_a_node=4, within=BUS, between=WIRE).seconds(SIZE)
        assert found == pytest.approx(START + 2 * (gpus - 1) * (1e-5 + SIZE / gpus / 1e9))


def test_a_ring_is_as_slow_as_its_slowest_link():
    across = Ring(8, gpus_a_node=4, within=BUS, between=WIRE).seconds(SIZE)
    assert across == pytest.approx(START + 14 * (1e-4 + 1e7 / 1e8))
    slow_bus = Ring(8, gpus_a_node=4, within=WIRE, between=BUS).seconds(SIZE)
    assert slow_bus == pytest.approx(across)


def test_a_share_of_the_bandwidth_is_reached():
    half = dataclasses.replace(BUS, reached=0.5)
    assert half.seconds(1e9) - half.latency == pytest.approx(2 * (BUS.seconds(1e9) - BUS.latency))


def test_a_ring_of_many_sends_twice_what_there_is():
    """2 (n - 1) / n S goes to 2 S; the latency grows with n."""
    free = Link("no latency", 1e9, 0.0)
    assert Ring(10**6, 10**6, within=free).seconds(SIZE) == pytest.approx(
        START + 2 * SIZE / 1e9, rel=1e-5
    )


def test_one_gpu_is_efficient():
    assert Ring(1, 4).seconds(SIZE) == 0
    assert efficiency(0.01, Ring(1, 4).seconds(SIZE)) == 1


def test_infinite_bandwidth_without_latency_is_efficient():
    perfect = Link("perfect", math.inf, 0.0)
    exchange = Ring(16, 4, within=perfect, between=perfect).seconds(SIZE)
    assert exchange == START  # what NCCL takes to begin
    assert efficiency(1.0, exchange - START) == 1
    assert efficiency(1.0, exchange) == pytest.approx(1, abs=1e-5)


def test_efficiency_is_the_share_of_computing():
    assert efficiency(3.0, 1.0) == 0.75


@pytest.mark.parametrize(("exchange", "fewest"), [(0.0, 1), (0.09, 9), (0.1, 9), (0.101, 10)])
def test_the_smallest_batch_is_the_first_that_reaches_the_target(exchange, fewest):
    """An example of 0.1 s: nine tenths of a step compute where it is nine times the exchange."""
    found = smallest_batch(0.1, exchange, 0.9)
    assert found == pytest.approx(fewest, abs=0.1)
    assert efficiency(found * 0.1, exchange) >= 0.9 - 1e-9
    assert found == 1 or efficiency((found - 1) * 0.1, exchange) < 0.9


def test_tables_say_what_the_functions_do():
    job = Job(operations=1e10, gradients=SIZE, rate=1e13, share=0.1)  # 10 ms an example
    ring = Ring(8, 4, within=BUS, between=WIRE)
    exchange = ring.seconds(SIZE)
    rows = by_batch(job, ring, [1, 1000]).splitlines()[2:]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == ["1", "1000"]
    assert f"{efficiency(10.0, exchange):.0%} |" in rows[1]
    rows = by_network(job, ring, 0.9, shares=(0.1, 0.2)).splitlines()[2:]
    assert len(rows) == len(NETWORKS)
    for row, name in zip(rows, NETWORKS, strict=True):
        slower, faster = (int(cell) for cell in row.strip("| ").split(" | ")[-2:])
        seconds = dataclasses.replace(ring, between=LINKS[name]).seconds(SIZE)
        assert slower == smallest_batch(0.01, seconds, 0.9)
        # A card that computes twice as fast waits as long, so it needs twice the examples.
        assert 2 * slower - 1 <= faster <= 2 * slower


HLO = """
  %all-reduce.5 = (f32[3,3,8]{2,1,0:T(8,128)}, bf16[4]{0}, /*index=2*/f32[]) all-reduce(%a, %b, %c)
  ROOT %all-reduce-start.1 = c64[2]{0} all-reduce-start(%d), channel_id=1
  %all-reduce-done.1 = c64[2]{0} all-reduce-done(%all-reduce-start.1)
  %get-tuple-element.1 = f32[3,3,8]{2,1,0} get-tuple-element(%all-reduce.5), index=0
  %all-reduce = pred[16]{0} all-reduce(%e), to_apply=%or
"""


def test_all_reduces_are_read_from_a_program():
    assert all_reduces(HLO) == (
        AllReduce(3, 4 * 72 + 2 * 4 + 4),
        AllReduce(1, 16),
        AllReduce(1, 16),
    )
    assert all_reduces("%add = f32[3] add(%a, %b)") == ()


def test_a_type_that_is_not_known_is_not_guessed():
    with pytest.raises(ValueError, match="no type of XLA"):
        all_reduces("  %a = opaque[4] all-reduce(%b)")


def test_a_pmapped_sum_moves_what_it_sums():
    script = """
import jax, jax.numpy as jnp
from fftdiff_jax.commands.benchmarks.collectives import all_reduces

def mean(x):
    return jax.lax.pmean({"a": x * 2, "b": x[:3].astype(jnp.bfloat16)}, "devices")

step = jax.pmap(mean, axis_name="devices")
text = step.lower(jnp.ones((2, 5, 7))).compile().as_text()
found = all_reduces(text)
print(sum(each.arrays for each in found), sum(each.size for each in found))
print(len(all_reduces(jax.pmap(lambda x: x).lower(jnp.ones((2, 3))).compile().as_text())))
"""
    surroundings = environment(
        XLA_FLAGS="--xla_force_host_platform_device_count=2", PYTHONPATH=str(ROOT)
    )
    said = subprocess.run(
        [sys.executable, "-c", script],
        env=surroundings,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    arrays, size, others = int(said[0]), float(said[1]), int(said[2])
    assert (arrays, others) == (2, 0)
    # The CPU sums bfloat16 in float32, a GPU in itself.
    assert size in (4 * 35 + 2 * 3 * 7, 4 * 35 + 4 * 3 * 7)


def test_devices_that_cannot_share_the_batch_are_refused(tmp_path):
    result = run(tmp_path, "scaling", "--config=quickstart", "--devices=3")
    assert "a batch of 16 cannot be shared by 3 devices" in refusal(result)


@pytest.mark.skipif(shared.has_cuda_build(), reason="this JAX can compile for CUDA")
def test_memory_on_a_gpu_wants_a_jax_that_compiles_for_one(tmp_path):
    result = run(tmp_path, "scaling", "--memory=quickstart", "--platform=cuda")
    assert "this JAX has no CUDA build; pip install" in refusal(result)
