"""One training step, data-parallel under `jax.pmap`."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key, PyTree

from fftdiff_jax.config import Config
from fftdiff_jax.method.method import Method, make_method
from fftdiff_jax.training.examples import (
    Batch,
    later_examples,
    noise_examples,
    spread_times,
    uses_first_estimate,
)
from fftdiff_jax.training.losses import first_loss, later_loss
from fftdiff_jax.training.state import TrainState, make_optimizer, update_ema

AXIS = "devices"

TrainStep = Callable[[TrainState, Batch, PyTree], tuple[TrainState, dict[str, Array]]]


def make_train_step(config: Config) -> TrainStep:
    """Compiles the step over all local devices (and, with jax.distributed, all processes').

    The returned function takes the state (unreplicated), a `Batch` whose arrays have the shape
    (devices, examples a device, h, w, 3), and what `perceptual_network` gives; it returns the state
    and the means over the whole batch of loss, gradient norm, update norm and parameter norm. The
    state's buffers are donated.
    """
    optimizer, method = make_optimizer(config.training), make_method(config)
    base_key = jax.random.key(config.training.seed)

    def step(
        state: TrainState, batch: Batch, perceptual: PyTree
    ) -> tuple[TrainState, dict[str, Array]]:
        key = jax.random.fold_in(base_key, state.step)

        def loss_of(params: PyTree) -> Float[Array, ""]:
            return batch_loss(config, method, params, batch, key, perceptual)

        loss, grads = jax.value_and_grad(loss_of)(state.params)
        loss, grads = jax.lax.pmean((loss, grads), AXIS)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        new = TrainState(
            step=state.step + 1,
            params=params,
            ema_params=update_ema(state.ema_params, params, state.step, config.training.ema_decay),
            opt_state=opt_state,
        )
        norms = {
            "loss": loss,
            "gradient_norm": optax.global_norm(grads),
            "update_norm": optax.global_norm(updates),
            "parameter_norm": optax.global_norm(params),
        }
        return new, norms

    return jax.pmap(
        step, axis_name=AXIS, in_axes=(None, 0, None), out_axes=(None, None), donate_argnums=(0,)
    )


def batch_loss(
    config: Config,
    method: Method,
    params: PyTree,
    batch: Batch,
    key: Key[Array, ""],
    perceptual: PyTree,
) -> Float[Array, ""]:
    """The loss of one device's part of a batch, the mean over its examples.

    Every example is predicted at t = 1, where each restoration starts and one of one step ends.
    Some are predicted at a random time too: there the network sees a noisy state and, without a
    gradient, its own estimate at t = 1 and how wrong it expects that to be, as a draw's later steps
    do (self-conditioning: Chen, Zhang and Hinton 2023).
    """
    clean, rainy = (jnp.asarray(crops, jnp.float32) / 255 for crops in batch)
    count = clean.shape[0]
    device = jax.lax.axis_index(AXIS)
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(device * count + jnp.arange(count))

    total = jnp.zeros(())
    estimate, std = rainy, jnp.zeros((*rainy.shape[:-1], 1))
    if uses_first_estimate(config):
        first = method.predict_first(params, rainy)
        total += jnp.sum(first_loss(config, first, clean, perceptual))
        estimate, std = jax.lax.stop_gradient((first.photo, jnp.exp(first.log_std)))

    later = later_examples(config, jax.lax.axis_size(AXIS), count)
    if later.total > 0:
        some, counts, order = (jnp.asarray(table)[device] for table in later)
        t = spread_times(jax.random.fold_in(key, 2**31 - 1), order, later.total)
        examples = noise_examples(method, clean[some], rainy[some], keys[some], t)
        prediction = method.predict(
            params, examples.noisy, rainy[some], t, estimate[some], std[some]
        )
        loss = later_loss(config, method, prediction, clean[some], examples)
        total += jnp.sum(loss * counts)
    return total / count
