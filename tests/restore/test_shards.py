"""Photos that several processes share: each exactly once, in equal parts, and one sum."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fftdiff_jax.errors import UserError
from fftdiff_jax.restore import folders, ledger, one_by_one
from fftdiff_jax.restore.shards import Shard, deal, file_size
from fftdiff_jax.restore.shared_work import SUMMARY, SharedWork
from tests.data import kinds
from tests.restore.test_photos_in_folders import Same, put

SIZES = st.lists(st.integers(0, 10**9), max_size=200)
COUNTS = st.integers(1, 80)


@given(SIZES, COUNTS)
def test_every_photo_is_in_one_shard_and_shards_are_equal(sizes, count):
    shards = deal(sizes, count)
    assert len(shards) == len(sizes)
    assert set(shards) <= set(range(count))
    numbers = [shards.count(index) for index in range(count)]
    assert max(numbers) - min(numbers) <= 1
    loads = [0] * count
    for shard, size in zip(shards, sizes, strict=True):
        loads[shard] += size
    assert max(loads) - min(loads) <= max(sizes, default=0)


@given(st.data(), COUNTS)
def test_shards_of_a_file_depend_on_sizes_and_order_alone(data, count):
    sizes = data.draw(SIZES)
    assert deal(sizes, count) == deal(list(sizes), count)
    assert deal([8, 7, 6, 5, 4, 3, 2, 1], 2) == [0, 1, 1, 0, 0, 1, 1, 0]  # 18 bytes each
    # Another order deals the same sizes to each shard.
    other = data.draw(st.permutations(sizes))
    dealt = [sorted(zip(deal(some, count), some, strict=True)) for some in (sizes, other)]
    assert dealt[0] == dealt[1]


@given(st.integers(0, 99_999), st.integers(1, 99_999))
def test_shards_are_read_as_they_are_written(index, count):
    if index < count:
        assert Shard.parse(str(Shard(index, count))) == Shard(index, count)
    else:
        with pytest.raises(UserError, match="from 0 to N-1"):
            Shard.parse(f"{index}/{count}")


@pytest.mark.parametrize(
    "text", ["", "3", "3/", "/4", "4/4", "-1/4", "0/0", "1/2/3", "a/b", "0/1000000", "٣/٤", "0/4\n"]
)
def test_what_is_no_shard_is_one_line(text):
    with pytest.raises(UserError, match=re.escape(f"--shard={text}: expected K/N")):
        Shard.parse(text)


def work(folder, index, count=2, asked=("in",)):
    return SharedWork(folder / "out", Shard(index, count), asked)


def find(folder):
    return lambda: folders.plan(str(folder / "in"), folder / "out", keep=True, looked=False)


def restore(folder, index, count=2, stop=None):
    """What a shard of the command does, up to so many photos."""
    own = work(folder, index, count)
    jobs = own.jobs(find(folder))
    own.begin()
    waiting = [job for job in jobs if not job.target.exists()]
    outcomes = [one_by_one.restore(Same(), job) for job in waiting[:stop]]
    if stop is None:
        refused = [outcome.refusal for outcome in outcomes if outcome.refusal]
        restored = len(jobs) - len(refused)
        own.end(photos=len(jobs), restored=restored, refused=refused, ended=True, seconds=1.0)
    return waiting[:stop]


def photos(folder, count=7):
    names = {f"p{i}__png": kinds.encoded("PNG") + bytes(i) for i in range(count - 1)}
    put(folder / "in" / "sub", **names)
    put(folder / "in", **{"broken__jpg": b"no photo"})


def test_shards_together_are_the_whole_and_the_last_one_adds_up(tmp_path):
    photos(tmp_path)
    first = restore(tmp_path, 1)
    assert work(tmp_path, 1).summarise() is None
    second = restore(tmp_path, 0)
    sources = [job.source for job in first + second]
    assert len(sources) == len(set(sources)) == 7
    found = work(tmp_path, 0).summarise()
    assert (found.photos, found.restored, found.missing, found.unfinished) == (7, 6, 0, ())
    (line,) = found.refused
    assert "broken.jpg" in line
    written = json.loads((tmp_path / "out" / SUMMARY).read_text())
    assert written["restored"] == 6
    assert written["refused"] == [line]
    assert "6 of 7 restored, 1 refused, 0 missing" in found.text()


def test_a_killed_shard_costs_the_photo_it_was_at(tmp_path):
    photos(tmp_path)
    restore(tmp_path, 0)
    done = restore(tmp_path, 1, stop=2)  # as by SIGKILL: nothing is put on record
    done = [job for job in done if job.target.exists()]
    assert done
    late = work(tmp_path, 1).summarise(counted=True)
    assert late.unfinished == (1,)
    assert late.missing > 0
    assert "shards that have not ended: 1;" in late.text()
    again = restore(tmp_path, 1)
    assert not {job.source for job in done} & {job.source for job in again}
    found = work(tmp_path, 1).summarise()
    assert (found.restored, found.missing) == (6, 0)


def test_photos_that_come_later_move_none_to_another_shard(tmp_path):
    photos(tmp_path)
    before = {job.source for job in work(tmp_path, 0).jobs(find(tmp_path))}
    put(tmp_path / "in", a__png=kinds.encoded("PNG") + bytes(100_000))
    after = {job.source for job in work(tmp_path, 1).jobs(find(tmp_path))}
    assert not before & after
    assert len(before | after) == 7
    # Another number of shards is another plan.
    assert len(work(tmp_path, 0, count=1).jobs(find(tmp_path))) == 8


def test_jobs_come_back_from_the_plan_as_they_were(tmp_path):
    photos(tmp_path)
    (tmp_path / "mask.png").write_bytes(b"")
    made = {"maps": True, "variants": 2}
    jobs = folders.plan(str(tmp_path / "in"), tmp_path / "out", **made)
    found = work(tmp_path, 0, count=1).jobs(lambda: jobs)
    assert [(j.source, j.results, j.refusal, j.mask) for j in found] == [
        (j.source, j.results, j.refusal, j.mask) for j in jobs
    ]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-30],
        lambda text: "{" + text,
        lambda text: text.split("\n", 1)[1],
    ],
    ids=["no end", "no JSON", "a line lost"],
)
def test_a_damaged_plan_is_one_line(tmp_path, damage):
    photos(tmp_path)
    own = work(tmp_path, 0)
    own.jobs(find(tmp_path))
    place = own.folder / "plan.jsonl"
    place.write_text(damage(place.read_text()))
    with pytest.raises(UserError, match=r"plan.jsonl: is damaged; remove it"):
        own.jobs(find(tmp_path))


def test_results_of_shards_are_on_record_for_everybody(tmp_path, monkeypatch):
    """Each writes a file of its own; the whole folder's results may then be replaced."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    photos(tmp_path)
    jobs = restore(tmp_path, 0) + restore(tmp_path, 1)
    places = [job.target for job in jobs if job.target.exists()]
    assert ledger.origins(places) == {
        job.target: job.source for job in jobs if job.target in places
    }
    records = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert sorted(path.name for path in records) == ["0_of_2", "1_of_2"]
    folders.require_own_results(folders.plan(str(tmp_path / "in"), tmp_path / "out"), keep=False)
    # A line that was cut short costs no other one.
    with records[0].open("ab") as file:
        file.write(b'["p0.png", 1')
    job = jobs[0]
    ledger.note(job.target, job.source, ledger.Part(tmp_path / "out", records[0].name))
    assert ledger.origins(places).keys() == set(places)
    places[0].write_bytes(b"worked on")
    assert ledger.origins(places).keys() == set(places[1:])


def test_a_file_that_cannot_be_looked_at_has_no_size(tmp_path):
    assert file_size(tmp_path / "none") == file_size("a\0b") == 0
