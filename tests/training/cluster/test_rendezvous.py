"""Processes meet before they train, and a missing one is named."""

import socket
import threading
import time

import pytest

from fftdiff_jax.errors import UserError
from fftdiff_jax.training.cluster.rendezvous import meet


def free_port():
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def gather(indices, count, timeout, port=None):
    """What each process that comes is told: None, or an error."""
    port, told = port or free_port(), {}

    def come(index):
        try:
            told[index] = meet("localhost", port, index, count, timeout)
        except UserError as error:
            told[index] = str(error)

    threads = [threading.Thread(target=come, args=(index,)) for index in indices]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join(20)
    return told


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_all_that_come_go_on(order):
    assert gather(order, 3, timeout=10) == {0: None, 1: None, 2: None}


def test_the_port_is_free_again_afterwards():
    port = free_port()
    for _ in range(2):
        assert gather((0, 1), 2, timeout=10, port=port) == {0: None, 1: None}


def test_a_missing_process_is_named_to_all_that_are_there():
    told = gather((0, 2), 3, timeout=1)
    assert set(told) == {0, 2}
    for index, message in told.items():
        assert message.startswith("process 1 of 3 did not start within 1 s")
        assert f"this is process {index}" in message


def test_without_the_first_process_the_others_say_so():
    assert gather((1,), 2, timeout=1)[1].startswith("process 0 of 2 did not start within 1 s")


def test_a_port_that_is_taken_is_one_line():
    with socket.create_server(("", 0)) as other:
        message = gather((0,), 2, timeout=1, port=other.getsockname()[1])[0]
    assert "JAX_COORDINATOR_PORT" in message


def test_a_stranger_on_the_port_does_no_harm():
    port = free_port()

    def knock():
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("localhost", port), timeout=1) as connection:
                    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return
            except OSError:
                time.sleep(0.01)

    stranger = threading.Thread(target=knock)
    stranger.start()
    time.sleep(0.2)
    assert gather((0, 1), 2, timeout=15, port=port) == {0: None, 1: None}
    stranger.join(10)
