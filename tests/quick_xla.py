"""How programs are compiled in tests: cheaply, and once for all processes of a session.

Compiling is most of what tests cost. Without optimisation it takes a fifth of the time, and what is
compiled is three times as slow, which small arrays do not mind. The main job of `.ci/run` compiles
as users do.
"""

from __future__ import annotations

import importlib.metadata
import os
import tempfile

# XLA refuses to start with a flag that it does not know, and emitters are what it is changing.
_KNOWN = tuple(map(int, importlib.metadata.version("jaxlib").split(".")[:2])) <= (0, 10)
FLAGS = "--xla_backend_optimization_level=0" + _KNOWN * " --xla_cpu_use_fusion_emitters=false"


def with_devices(count: int) -> str:
    """XLA_FLAGS of a process with so many simulated devices."""
    return f"{FLAGS} --xla_force_host_platform_device_count={count}"


def set_up() -> tempfile.TemporaryDirectory[str] | None:
    """Sets the environment of this process and of those that it starts, before JAX's first use.

    Returns the folder of compiled programs; None in a process that was given one, such as a worker
    of pytest-xdist.
    """
    os.environ["XLA_FLAGS"] = f"{FLAGS} {os.environ.get('XLA_FLAGS', '')}".rstrip()
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return None
    folder = tempfile.TemporaryDirectory(prefix="fftdiff_tests_xla_", ignore_cleanup_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder.name
    return folder
