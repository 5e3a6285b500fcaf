"""The command line of restore when several processes share the photos."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from skimage import data

from tests import tiny
from tests.commands import environment, refusal, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photos of several sizes, a broken one, a list of them, and a network."""
    folder = tmp_path_factory.mktemp("shared")
    tiny.write_checkpoint(folder / "model")
    (folder / "in" / "sub").mkdir(parents=True)
    names = [f"in/{'sub/' * (i % 2)}{i}.png" for i in range(5)]
    for i, name in enumerate(names):
        Image.fromarray(data.coffee()[: 24 + 8 * i, :40]).save(folder / name)
    (folder / "in" / "broken.png").write_bytes(b"no photo")
    (folder / "list.txt").write_text("\n".join([*names, "in/broken.png"]))
    return folder


def restore(folder, *flags):
    common = ("--checkpoint=model", "--noprogress", f"--compilation_cache={folder / 'xla'}")
    return run(folder, "restore", *common, *flags, XDG_STATE_HOME=str(folder / "state"))


def pixels(folder):
    found = sorted(folder.rglob("*.png"))
    return {str(p.relative_to(folder)): np.asarray(Image.open(p)).tobytes() for p in found}


def test_two_shards_restore_what_one_process_does(folder):
    whole = restore(folder, "--list=list.txt", "--output=whole")
    assert whole.returncode == 1  # one is broken
    assert "5 restored" in whole.stdout
    shards = [restore(folder, "--list=list.txt", f"--shard={k}/2", "--output=out") for k in (1, 0)]
    assert {one.returncode for one in shards} == {0, 1}, shards
    first, second = (one.stdout for one in shards)
    assert "the one that ends last adds all up" in first
    assert "all shards: 5 of 6 restored, 1 refused, 0 missing" in second
    assert pixels(folder / "out") == pixels(folder / "whole")
    found = json.loads((folder / "out" / "summary.json").read_text())
    assert found["shards"] == 2
    assert "broken.png" in found["refused"][0]
    # Again: nothing is done twice, and there is the sum.
    times = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*.png")}
    again = [restore(folder, "--list=list.txt", f"--shard={k}/2", "--output=out") for k in (0, 1)]
    assert "nothing is left" in "".join(one.stdout for one in again)
    assert all("5 of 6 restored" in one.stdout for one in again)
    assert times == {path: path.stat().st_mtime_ns for path in times}


@pytest.mark.fault
def test_a_killed_shard_goes_on_and_is_missed_until_then(folder):
    flags = ("--output=killed", "in", "--draws=1", "--steps=60")
    other = restore(folder, *flags, "--shard=0/2")
    assert "the one that ends last adds all up" in other.stdout, other.stderr
    there = pixels(folder / "killed")
    command = [*flags, "--shard=1/2", "--checkpoint=model", "--noprogress"]
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.restore", *command],
        cwd=folder,
        env=environment(XDG_STATE_HOME=str(folder / "state")),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 300
    while len(pixels(folder / "killed")) == len(there):
        assert time.monotonic() < end, "nothing was restored"
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in (folder / "killed").rglob("*.png")}
    late = restore(folder, *flags, "--shard=0/2", "--summary")
    assert late.returncode == 1
    assert "shards that have not ended: 1;" in late.stdout
    again = restore(folder, *flags, "--shard=1/2")
    assert "5 of 6 restored, 1 refused, 0 missing" in again.stdout, again.stdout + again.stderr
    assert done == {path: path.stat().st_mtime_ns for path in done}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("in", "--shard=2/2"), "--shard=2/2: expected K/N with K from 0 to N-1"),
        (("in", "--shard="), "--shard=: expected K/N"),
        (("in", "--summary"), "say how many with --shard=0/N"),
        (("in", "--shard=0/3", "--summary"), "no shard of 3 was started there"),
        (("--list=none.txt",), "--list=none.txt: there is no such file"),
        (("--list=list.txt", "--column=x"), "--column=x: is for tables"),
        (("--list=list.txt", "--shard=0/2", "--output=in"), "would overwrite itself"),
    ],
)
def test_refusals_are_one_line(folder, flags, said):
    flags = flags if any(flag.startswith("--output") for flag in flags) else (*flags, "--output=no")
    assert said in refusal(restore(folder, *flags))
    assert not (folder / "no").exists()
