"""How much memory a training step takes on one device, by XLA's own analysis of the program.

The step is compiled and not run. With JAX's CUDA plugin installed it is compiled for an A40, which
needs no GPU: XLA is told what such a card has. Otherwise it is compiled for the CPU, whose programs
hold other arrays than a GPU's: bfloat16 is computed in float32 there, and it fuses differently.
Neither counts what is outside the program: workspaces that cuDNN asks for when it is tuned on a
card, CUDA's own few hundred megabytes, and the next batches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fftdiff_jax.config import Config
from fftdiff_jax.training.examples import Batch
from fftdiff_jax.training.losses import perceptual_network
from fftdiff_jax.training.state import abstract_state
from fftdiff_jax.training.step import AXIS, make_device_step

# Quickly: arrays are assigned to memory before machine code is optimised. For GPUs the timing of
# kernels, which needs a card, must be off.
_CPU_OPTIONS: Any = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
_CUDA_OPTIONS: Any = {
    "xla_backend_optimization_level": 0,
    "xla_gpu_disable_gpuasm_optimizations": True,
    "xla_gpu_autotune_level": 0,
}

CARDS = {"A40": 48e9, "24 GB": 24e9}  # bytes

# The A40 (NVIDIA's data sheet: 84 multiprocessors, 48 GB, 696 GB/s) and what all cards of compute
# capability 8.6 have (CUDA C++ Programming Guide, technical specifications).
A40 = """
platform_name: "CUDA"
device_description_str: "NVIDIA A40"
dnn_version_info { major: 9 minor: 8 patch: 0 }
gpu_device_info {
  cuda_compute_capability { major: 8 minor: 6 }
  core_count: 84 fpus_per_core: 128 clock_rate_ghz: 1.74
  device_memory_size: 48305799168 memory_bandwidth: 696000000000 l2_cache_size: 6291456
  threads_per_warp: 32 threads_per_block_limit: 1024 threads_per_core_limit: 1536
  shared_memory_per_block: 49152 shared_memory_per_block_optin: 101376
  shared_memory_per_core: 102400
  registers_per_block_limit: 65536 registers_per_core_limit: 65536
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
}
"""


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes on one device while a step runs."""

    examples: int
    arguments: float  # state, crops, weights of LPIPS
    outputs: float  # beyond what takes the place of arguments
    temporaries: float

    @property
    def total(self) -> float:
        """All at once, which is what must fit."""
        return self.arguments + self.outputs + self.temporaries


def largest_batch(few: Memory, many: Memory, card: float) -> int:
    """The most examples that fit into `card` bytes, on the line through two batches."""
    slope = (many.total - few.total) / (many.examples - few.examples)
    return max(0, int((card - few.total) / slope + few.examples))


def measure_memory(config: Config, *, examples: Sequence[int], platform: str) -> dict[str, Any]:
    """The memory of a step with so many examples on one device; `Memory` as dictionaries."""
    device = a40() if platform == "cuda" else jax.devices("cpu")[0]
    mesh = Mesh(np.array([device]), (AXIS,))
    return {"rows": [dataclasses.asdict(_memory(config, mesh, count)) for count in examples]}


def a40() -> Any:
    """An A40 that programs can be compiled for, and not run on.

    Raises:
      RuntimeError or ValueError: JAX has no CUDA plugin here.
    """
    from jax.experimental import topologies

    return topologies.get_topology_desc("one", "cuda", target_config=A40, topology="1x1x1").devices[
        0
    ]


def step_over_mesh(config: Config, mesh: Mesh) -> Any:
    """The training step without `jax.pmap`: `jax.jit` over a mesh with the axis `AXIS`.

    It takes and returns what `make_train_step`'s does, but the batch is one (examples, h, w, 3) for
    all devices. `check_vma` stays off: with it JAX sums the gradients of whole parameters by
    itself, and the step's own mean would come on top.
    """
    whole, shared = PartitionSpec(), PartitionSpec(AXIS)
    step: Any = jax.shard_map(
        make_device_step(config),
        mesh=mesh,
        in_specs=(whole, shared, whole),
        out_specs=(whole, whole),
        check_vma=False,
    )
    everywhere, parts = NamedSharding(mesh, whole), NamedSharding(mesh, shared)
    return jax.jit(
        step,
        in_shardings=(everywhere, parts, everywhere),
        out_shardings=everywhere,
        donate_argnums=(0,),
    )


def _memory(config: Config, mesh: Mesh, examples: int) -> Memory:
    side = config.data.crop_size
    crops: Any = jax.ShapeDtypeStruct((examples, side, side, 3), jnp.uint8)
    perceptual = jax.eval_shape(lambda: perceptual_network(config.diffusion))
    lowered = step_over_mesh(config, mesh).lower(
        abstract_state(config), Batch(crops, crops), perceptual
    )
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    found = lowered.compile(_CPU_OPTIONS if on_cpu else _CUDA_OPTIONS).memory_analysis()
    return Memory(
        examples=examples,
        arguments=found.argument_size_in_bytes,
        outputs=found.output_size_in_bytes - found.alias_size_in_bytes,
        temporaries=found.temp_size_in_bytes,
    )


def table(recipes: Sequence[tuple[str, str, Sequence[Memory]]]) -> str:
    """Markdown, one line a batch: names of recipes, types of their networks, what was found.

    Each recipe has two batches or more; the last column is from the first and the last of them.
    """
    fits = " | ".join(f"most examples in {name}" for name in CARDS)
    lines = [
        f"| recipe | type | examples a device | state and crops | temporary | all, GB | {fits} |",
        "|---" * (6 + len(CARDS)) + "|",
    ]
    for name, kind, found in recipes:
        for each in found:
            last = each is found[-1]
            most = [
                str(largest_batch(found[0], each, card)) if last else "" for card in CARDS.values()
            ]
            cells = [
                name,
                kind,
                str(each.examples),
                f"{(each.arguments + each.outputs) / 1e9:.2f}",
                f"{each.temporaries / 1e9:.2f}",
                f"{each.total / 1e9:.2f}",
                *most,
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
