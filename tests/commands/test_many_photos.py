"""The simulation of very many photos: against what can be counted by hand."""

import dataclasses

import pytest

from fftdiff_jax.commands.benchmarks.many_photos import Cluster, Photos, simulate, table

PHOTOS = Photos(count=64_000, seconds=2.0, megabytes=10.0, operations=10.0, spread=0.0)
CLUSTER = Cluster(
    nodes=64, workers=4, slow_share=0.0, losses=0.0, start=0.0, bandwidth=1e12, metadata=1e9
)


def test_equal_nodes_take_photos_times_seconds_over_workers():
    found = simulate(PHOTOS, CLUSTER, shards=256)
    assert found.hours == pytest.approx(64_000 * 2 / (64 * 4) / 3600)
    assert found.node_hours == pytest.approx(64 * found.hours)
    assert (found.bound, found.terabytes) == ("nodes", pytest.approx(0.64))
    assert found.idle == pytest.approx(0)
    assert found.lost == 0


@pytest.mark.parametrize(
    ("limit", "bound", "rate"),
    [({"bandwidth": 1e8}, "bytes", 10), ({"metadata": 50.0}, "file operations", 5)],
)
def test_a_slow_store_slows_all_nodes(limit, bound, rate):
    found = simulate(PHOTOS, dataclasses.replace(CLUSTER, **limit), shards=256)
    assert found.bound == bound
    assert found.hours == pytest.approx(64_000 / rate / 3600)


def test_more_shards_than_nodes_keep_stragglers_from_holding_up_the_rest():
    slow = dataclasses.replace(CLUSTER, slow_share=1 / 16, slow_speed=0.5)
    few, many = (simulate(PHOTOS, slow, shards) for shards in (256, 25600))
    alone = simulate(PHOTOS, CLUSTER, 256)
    assert few.hours == pytest.approx(2 * alone.hours)
    assert many.hours < 1.05 * alone.hours * 64 / 62
    assert many.idle < 0.02 < few.idle


def test_losses_cost_waits_and_starts_and_no_finished_photo():
    lossy = dataclasses.replace(CLUSTER, losses=2.0, wait=60.0, start=10.0)
    found = [simulate(PHOTOS, lossy, 640, seed) for seed in range(4)]
    assert len({one.node_hours for one in found}) > 1
    assert simulate(PHOTOS, lossy, 640, 0) == found[0]
    for one in found:
        lost = 4 * one.node_hours - 64_000 * 2 / 3600  # of a worker's hours
        # 640 starts, and some 75 losses of 70 seconds and half a photo.
        assert (640 * 10 + 30 * 71) / 3600 < lost < (640 * 10 + 150 * 71) / 3600


def test_fewer_shards_than_workers_leave_workers_without_one():
    found = simulate(PHOTOS, CLUSTER, shards=64)
    assert found.idle == pytest.approx(3 / 4)
    assert found.hours == pytest.approx(1000 * 2 / 3600)


def test_the_table_has_a_row_for_each_number_of_photos_and_shards():
    rows = table([PHOTOS, dataclasses.replace(PHOTOS, count=10**9)], CLUSTER, [64, 1000])
    assert len(rows.splitlines()) == 2 + 4
    assert "| 1,000,000,000 | 1,000 |" in rows
