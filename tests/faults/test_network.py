"""The network between two training processes is cut: both end, and both go on when it is back."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests import tiny
from tests.processes import command, end, heard, newest, started, wait_for_step

pytestmark = pytest.mark.fault

NAMES = ("fftdiff_a", "fftdiff_b")
ADDRESSES = ("10.77.19.1", "10.77.19.2")


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def remove():
    for name in NAMES:
        subprocess.run(["ip", "netns", "del", name], capture_output=True)
        shutil.rmtree(Path("/etc/netns") / name, ignore_errors=True)


@contextlib.contextmanager
def two_networks():
    """Two network namespaces with one cable between them; skips where they cannot be made."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and iproute2 (apt-get install iproute2)")
    remove()  # what a test that was killed has left would make this one be skipped
    try:
        try:
            for name in NAMES:
                ip("netns", "add", name)
            ip("link", "add", "cable0", "type", "veth", "peer", "name", "cable1")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces cannot be made here ({error.stderr.strip()})")
        for i, (name, address) in enumerate(zip(NAMES, ADDRESSES, strict=True)):
            ip("link", "set", f"cable{i}", "netns", name)
            ip("-n", name, "addr", "add", f"{address}/24", "dev", f"cable{i}")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", f"cable{i}", "up")
            # Each process is told its own address by the machine's name.
            hosts = Path("/etc/netns") / name / "hosts"
            hosts.parent.mkdir(parents=True, exist_ok=True)
            hosts.write_text(f"127.0.0.1 localhost\n{address} {socket.gethostname()}\n")
        yield
    finally:
        remove()


def test_a_cut_network_ends_both_processes_and_costs_nothing_that_was_saved(tmp_path):
    manifest = tiny.write_pairs(tmp_path / "pairs")
    flags = [*tiny.flags(manifest, steps=5000, every=5), "--heartbeat_timeout=10"]
    arguments = command(flags, tmp_path / "run")
    with two_networks():
        where = {
            "count": 2,
            "host": ADDRESSES[0],
            "prefixes": [["ip", "netns", "exec", name] for name in NAMES],
        }
        with started(arguments, **where) as (first, second):
            wait_for_step(tmp_path / "run", 5, first)
            ip("-n", NAMES[0], "link", "set", "cable0", "down")
            outputs = [heard(first), heard(second)]
        for process, output in zip((first, second), outputs, strict=True):
            # Whichever is quicker: training says so, or JAX's own watch over the processes.
            assert process.returncode in (76, -signal.SIGABRT), output
            assert "is lost" in output or "another task died" in output
        saved = newest(tmp_path / "run")
        assert saved >= 5
        ip("-n", NAMES[0], "link", "set", "cable0", "up")
        with started(arguments, **where) as (first, second):
            wait_for_step(tmp_path / "run", saved + 5, first)
            code, output = end(first)
            heard(second)
        assert (code, second.returncode) == (75, 75), output
    rows = [int(row[0]) for row in tiny.losses(tmp_path / "run")]
    assert rows == list(range(1, newest(tmp_path / "run") + 1))
