"""The training state, its optimiser, and how both begin."""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree

from fftdiff_jax.config import Config, TrainingConfig
from fftdiff_jax.method.method import make_method


class TrainState(flax.struct.PyTreeNode):
    """Everything that a step changes."""

    step: Int[Array, ""]  # updates done
    params: PyTree
    ema_params: PyTree  # exponential moving average of params: what restores photos
    opt_state: PyTree


def make_optimizer(config: TrainingConfig) -> optax.GradientTransformation:
    """Global-norm clipping, then AdamW under linear warm-up and cosine decay to 1 %."""
    warmup = min(config.warmup_steps, max(config.steps // 10, 1))
    rate = optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=config.learning_rate,
        warmup_steps=warmup,
        decay_steps=max(config.steps, warmup + 1),  # a run of one step has nothing to decay
        end_value=config.learning_rate / 100,
    )
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(rate, b2=0.99, weight_decay=config.weight_decay, mask=_is_kernel),
    )


def _is_kernel(params: PyTree) -> PyTree:
    # Decaying biases and norm scales only pulls them off what the data wants.
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def create_state(config: Config) -> TrainState:
    """The state before the first step, a function of the configuration alone."""
    params = make_method(config).init(jax.random.key(config.training.seed))
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        # A copy: the step donates its buffers, and one buffer cannot be given away twice.
        ema_params=jax.tree.map(jnp.copy, params),
        opt_state=make_optimizer(config.training).init(params),
    )


def update_ema(ema: PyTree, params: PyTree, step: Int[Array, ""], decay: float) -> PyTree:
    """ema + (1 - d)(params - ema) with d = min(decay, (1 + n)/(10 + n)), n the steps before."""
    d = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda e, p: e + (1 - d) * (p - e), ema, params)


def abstract_state(config: Config) -> Any:
    """Shapes and types of the state, without computing it."""
    return jax.eval_shape(lambda: create_state(config))
