"""All processes meet before JAX joins them, so that a missing one is named.

JAX ends the whole program, with a stack trace, when a process does not come in time. So process 0
first waits here for the number of each of the others, and answers all of them with those that are
missing.
"""

from __future__ import annotations

import contextlib
import socket
import time

from fftdiff_jax.errors import UserError

_RETRY_SECONDS = 0.2
_GO = "go"


def meet(host: str, port: int, index: int, count: int, timeout: float) -> None:
    """Returns once all `count` processes are there.

    Args:
      host: the node of process 0; `port`: a free port there, which is free again afterwards.
      index: of this process; `count`: of all.
      timeout: seconds to wait.

    Raises:
      UserError: a process is missing after `timeout` seconds (all that are there say which), or the
        port is taken.
    """
    deadline = time.monotonic() + timeout
    missing = _gather(port, count, deadline) if index == 0 else _join(host, port, index, deadline)
    if missing:
        raise UserError(
            f"process {missing} of {count} did not start within {timeout:g} s (this is process "
            f"{index}, process 0 is on {host}:{port}); look for its error above, or check that "
            "the nodes reach each other"
        )


def _gather(port: int, count: int, deadline: float) -> str:
    """Process 0: waits for the others; returns the numbers of those that are missing."""
    here: dict[int, socket.socket] = {}
    try:
        server = socket.create_server(("", port), backlog=count)
    except OSError as error:
        raise UserError(
            f"port {port} cannot be opened for the other processes ({error.strerror}); set "
            "JAX_COORDINATOR_PORT to a free one"
        ) from error
    with server, contextlib.ExitStack() as stack:
        while len(here) < count - 1 and time.monotonic() < deadline:
            server.settimeout(max(deadline - time.monotonic(), 0.01))
            with contextlib.suppress(OSError, ValueError):
                connection, _ = server.accept()
                stack.enter_context(connection).settimeout(5)
                here[int(connection.recv(16))] = connection
        missing = ", ".join(str(i) for i in range(1, count) if i not in here)
        for connection in here.values():
            with contextlib.suppress(OSError):
                connection.sendall((missing or _GO).encode())
                # The others hang up first, so that the port does not linger here.
                connection.recv(1)
    return missing


def _join(host: str, port: int, index: int, deadline: float) -> str:
    """Every other process: sends its number to process 0; returns those that are missing."""
    while True:
        with contextlib.suppress(OSError):
            left = max(deadline - time.monotonic(), 0.01)
            with socket.create_connection((host, port), timeout=left) as connection:
                connection.sendall(str(index).encode())
                connection.settimeout(left + 5)  # process 0 may have started, and end, later
                answer = connection.recv(4096).decode()
                if answer:
                    return "" if answer == _GO else answer
        if time.monotonic() > deadline:
            return "0"
        time.sleep(_RETRY_SECONDS)
