"""Training runs under `jax.pmap`: the day a JAX has none is seen here, and not in a run."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from fftdiff_jax.commands.benchmarks.memory import (
    Memory,
    largest_batch,
    measure_memory,
    step_over_mesh,
)
from fftdiff_jax.config import Config, DataConfig, ModelConfig, TrainingConfig
from fftdiff_jax.training.cluster import processes
from fftdiff_jax.training.examples import Batch
from fftdiff_jax.training.state import abstract_state, create_state
from fftdiff_jax.training.step import AXIS, make_train_step

CONFIG = Config(
    data=DataConfig(crop_size=16),
    model=ModelConfig(widths=(8,), blocks=(1,)),
    training=TrainingConfig(steps=100, batch_size=4, warmup_steps=1),
)
WAY_OUT = (
    f"JAX {jax.__version__} has no jax.pmap that training can use. The way out is written down in "
    "docs/greatlakes.md, 'Without pmap': jit over a mesh, as step_over_mesh in "
    "fftdiff_jax/commands/benchmarks/memory.py does it. Until then: pip install 'jax<"
    f"{jax.__version__}'"
)


def test_jax_has_pmap():
    """What training calls, with the arguments that it gives, and without a warning."""
    pmap = getattr(jax, "pmap", None)
    assert callable(pmap), WAY_OUT
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        warnings.simplefilter("error", FutureWarning)
        try:
            mean = pmap(
                lambda state, x: (state + jax.lax.pmean(x, AXIS), jax.lax.axis_size(AXIS)),
                axis_name=AXIS,
                in_axes=(None, 0),
                out_axes=(None, None),
                donate_argnums=(0,),
            )
            found, count = mean(jnp.ones(()), jnp.arange(jax.local_device_count(), dtype=float))
        except (TypeError, AttributeError, NotImplementedError, Warning) as error:
            pytest.fail(f"{WAY_OUT}\n{type(error).__name__}: {error}")
    assert int(count) == jax.local_device_count()
    assert float(found) == 1 + (jax.local_device_count() - 1) / 2


def test_training_uses_pmap(monkeypatch):
    seen = []
    monkeypatch.setattr(jax, "pmap", lambda step, **options: seen.append(options))
    make_train_step(CONFIG)
    assert len(seen) == 1
    assert seen[0]["axis_name"] == AXIS
    assert seen[0]["donate_argnums"] == (0,)


def test_the_way_out_does_what_pmap_does():
    rng = np.random.default_rng(0)
    clean, rainy = rng.integers(0, 256, (2, 4, 16, 16, 3), np.uint8)
    fresh = functools.partial(create_state, CONFIG)
    mesh = Mesh(np.array(jax.local_devices()[:1]), (AXIS,))
    one, numbers = step_over_mesh(CONFIG, mesh)(fresh(), Batch(clean, rainy), None)
    other, same = make_train_step(CONFIG)(
        processes.on_own_devices(fresh()), Batch(clean[None], rainy[None]), None
    )
    assert float(numbers["loss"]) == pytest.approx(float(same["loss"]), rel=1e-6)
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(other.params), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_memory_is_read_from_the_compiled_step():
    found = [Memory(**r) for r in measure_memory(CONFIG, examples=[4, 8], platform="cpu")["rows"]]
    state = sum(4 * leaf.size for leaf in jax.tree.leaves(abstract_state(CONFIG)))
    for each in found:
        # Two pictures of bytes an example; the state's buffers are given away, and come back.
        assert each.arguments == pytest.approx(state + 2 * each.examples * 16 * 16 * 3, rel=0.01)
        assert each.outputs < 1000
    assert found[1].temporaries > found[0].temporaries


def test_the_most_that_fits_is_on_the_line():
    few, many = Memory(4, 1e9, 0, 4e9), Memory(16, 1e9, 0, 16e9)
    assert largest_batch(few, many, 48e9) == 47
    assert largest_batch(few, many, 0.5e9) == 0
