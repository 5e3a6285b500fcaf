"""Processes that train together: who takes part, and what they agree on.

Every function is a plain local one where there is one process: no collective, no waiting.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import PyTree

from fftdiff_jax.errors import UserError
from fftdiff_jax.training.cluster.rendezvous import meet

_Result = TypeVar("_Result")

LOST = 76  # exit code: another process is gone; the run goes on from the last checkpoint

# Answers are read this many steps late, so that the devices never wait for the host.
_LAG = 2
_EVALUATION_SECONDS = 24 * 3600
# Words of a collective's error when the process at the other end, or the way to it, is gone.
_LOST_SIGNS = re.compile(
    r"gloo|nccl|coordination|socket|connection|unavailable|deadline_exceeded|barrier|heartbeat",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True)
class Place:
    """One process's place among those of a job."""

    host: str  # of process 0
    port: int
    index: int
    count: int
    local_index: int  # among the processes of this node
    local_count: int


def find_place(environment: Mapping[str, str]) -> Place | None:
    """This process's place in a Slurm step of several tasks; None where it is alone.

    Raises:
      UserError: the variables of Slurm do not make sense.
    """
    # A batch script or salloc's shell has SLURM_NTASKS too; only srun sets SLURM_STEP_NUM_TASKS.
    count = environment.get("SLURM_STEP_NUM_TASKS", "1")
    if count == "1" or "SLURM_STEP_NODELIST" not in environment:
        return None
    try:
        job, step = int(environment["SLURM_JOB_ID"]), int(environment.get("SLURM_STEP_ID", "0"))
        # Two jobs, or two steps, that share a node must not share a port.
        port = 61440 + (job + 97 * step) % 4096
        return Place(
            host=_first_host(environment["SLURM_STEP_NODELIST"]),
            port=int(environment.get("JAX_COORDINATOR_PORT", port)),
            index=int(environment["SLURM_PROCID"]),
            count=int(count),
            local_index=int(environment["SLURM_LOCALID"]),
            local_count=_tasks_here(environment),
        )
    except (KeyError, ValueError) as error:
        raise UserError(
            f"Slurm's variables cannot be understood ({type(error).__name__}: {error}); start the "
            "processes with srun"
        ) from error


def start(
    environment: Mapping[str, str], *, timeout: int = 300, heartbeat: int = 100
) -> Place | None:
    """Joins the processes of this Slurm step, before JAX is used; a lone process does nothing.

    Args:
      environment: where Slurm's variables are.
      timeout: seconds to wait for the other processes.
      heartbeat: seconds without a heartbeat of a process, after which it counts as lost.

    Raises:
      UserError: a process did not come in time; the message names it.
    """
    place = find_place(environment)
    if place is None:
        return None
    meet(place.host, place.port, place.index, place.count, timeout)
    # It would catch SIGTERM in a thread of its own, which may start after our handler is in place
    # and take the signal away from it (signals.py).
    jax.config.update("jax_enable_preemption_service", False)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        coordinator_address=f"{place.host}:{place.port}",
        num_processes=place.count,
        process_id=place.index,
        local_device_ids=_own_devices(place, environment),
        initialization_timeout=timeout,
        heartbeat_timeout_seconds=heartbeat,
        # At the end the others wait while process 0 evaluates.
        shutdown_timeout_seconds=_EVALUATION_SECONDS,
    )
    if jax.default_backend() == "cpu":
        # JAX lets process 0 alone keep its programs; while the others compile theirs, gloo gives
        # up after 30 s. (Between GPUs NCCL waits for minutes.)
        jax.config.update("jax_enable_compilation_cache", False)
    return place


def is_first() -> bool:
    """Whether this is the process that writes logs and messages."""
    return jax.process_index() == 0


def all_agree(here: bool) -> bool:
    """Whether `here` is true in every process."""
    if jax.process_count() == 1:
        return here
    return bool(np.min(multihost_utils.process_allgather(np.int32(here))))


def strongest(stop_signal: int) -> int:
    """The highest stop signal (see signals.py) that any process has received."""
    if jax.process_count() == 1:
        return stop_signal
    return int(np.max(multihost_utils.process_allgather(np.int32(stop_signal))))


def from_first(values: Sequence[float]) -> list[float]:
    """The numbers that process 0 has, to the last bit of a double; all give the same count."""
    if jax.process_count() == 1:
        return list(values)
    # As bytes: JAX would round doubles to float32.
    data = np.frombuffer(np.array(values, np.float64).tobytes(), np.uint8)
    return np.frombuffer(
        np.asarray(multihost_utils.broadcast_one_to_all(data)).astype(np.uint8).tobytes()
    ).tolist()


def on_own_devices(tree: PyTree) -> PyTree:
    """Puts arrays whole on each device of this process, where `jax.pmap` leaves them.

    A step that gets its first state from anywhere else is compiled twice: JAX compiles again for
    arrays that lie elsewhere, and from the second step on they lie here.
    """
    return jax.device_put(tree, _whole_on(jax.local_devices()))


def as_global(tree: PyTree) -> PyTree:
    """The same arrays, equal in every process, as arrays of all devices of all processes."""
    if jax.process_count() == 1:
        return tree
    sharding = on_every_device()
    return jax.tree.map(
        lambda leaf: (
            jax.make_array_from_single_device_arrays(
                leaf.shape, sharding, [shard.data for shard in leaf.addressable_shards]
            )
            if leaf.is_fully_addressable
            else leaf
        ),
        tree,
    )


def on_every_device() -> jax.sharding.Sharding:
    """Whole on every device of every process; with one process, on its first device."""
    if jax.process_count() == 1:
        return jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return _whole_on(jax.devices())


def first_does(act: Callable[[], _Result]) -> _Result | None:
    """What `act` returns in process 0, the only one that calls it; None in the others.

    Raises:
      UserError: in every process, where `act` raises one in process 0.
    """
    result, problem = None, None
    if is_first():
        try:
            result = act()
        except UserError as error:
            problem = error
    if not all_agree(problem is None):
        raise problem or UserError("process 0 cannot go on, and has said why")
    return result


class Agreement:
    """The highest stop signal of all processes, exchanged between steps while the devices go on.

    Every process must ask equally often. With several processes the answer is two questions old,
    and the same one everywhere.
    """

    def __init__(self) -> None:
        self._alone = jax.process_count() == 1
        self._answers: collections.deque[jax.Array] = collections.deque()
        if not self._alone:
            self._largest = jax.pmap(
                lambda value: jax.lax.pmax(value, "devices"), axis_name="devices", out_axes=None
            )

    def ask(self, stop_signal: int) -> int:
        """Sends this process's stop signal and returns the one that all have agreed on."""
        if self._alone:
            return stop_signal
        here = np.full(jax.local_device_count(), stop_signal, np.int32)
        self._answers.append(self._largest(here))
        return int(self._answers.popleft()) if len(self._answers) > _LAG else 0


def is_lost_process(error: BaseException) -> bool:
    """Whether a failed collective, rather than this process, is behind an error."""
    return (
        jax.process_count() > 1
        and isinstance(error, (jax.errors.JaxRuntimeError, RuntimeError, ValueError))
        and bool(_LOST_SIGNS.search(str(error)))
    )


def _whole_on(devices: Sequence[jax.Device]) -> jax.sharding.NamedSharding:
    mesh = jax.sharding.Mesh(np.array(devices), ("devices",))
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())


def _first_host(nodes: str) -> str:
    """`n1` of n1,n2; n[1-2]; n[1,3-4],m5."""
    found = re.match(r"([^,\[]+)(?:\[(\d+))?", nodes)
    if not found:
        raise ValueError(f"SLURM_STEP_NODELIST={nodes!r}")
    return found[1] + (found[2] or "")


def _tasks_here(environment: Mapping[str, str]) -> int:
    """The tasks of this node, from a list like 4(x2),3."""
    counts: list[int] = []
    for part in environment.get("SLURM_STEP_TASKS_PER_NODE", "1").split(","):
        count, _, times = part.partition("(x")
        counts += [int(count)] * int(times.rstrip(")") or 1)
    node = int(environment.get("SLURM_NODEID", "0"))
    return counts[min(node, len(counts) - 1)]


def _own_devices(place: Place, environment: Mapping[str, str]) -> list[int]:
    """The GPUs that are this process's, numbered among those that it can see.

    JAX by itself gives each Slurm task one GPU, which would leave the others of a node idle where
    one process has the whole node. On a CPU the answer is not used.
    """
    visible = environment.get("CUDA_VISIBLE_DEVICES", environment.get("SLURM_STEP_GPUS", "0"))
    count = len([name for name in visible.split(",") if name])
    if count < place.local_count:  # Slurm shows each task its own GPUs only
        return list(range(max(count, 1)))
    if count % place.local_count:
        raise UserError(
            f"{count} GPUs cannot be shared evenly by {place.local_count} processes on a node; "
            "choose --ntasks-per-node=1 or as many as GPUs"
        )
    each = count // place.local_count
    return list(range(place.local_index * each, (place.local_index + 1) * each))
