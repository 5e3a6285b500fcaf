"""One training step, data-parallel under `jax.pmap`."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key, PyTree

from fftdiff_jax.config import Config
from fftdiff_jax.method.method import Method, make_method
from fftdiff_jax.method.noises import draw_latent
from fftdiff_jax.training.examples import Batch, drawn_examples, noise_examples, spread_times
from fftdiff_jax.training.losses import draw_loss, first_loss, state_loss
from fftdiff_jax.training.state import TrainState, make_optimizer, update_ema

AXIS = "devices"
AT_ONE = 0.75  # share of the examples for draws that are trained at t = 1

TrainStep = Callable[[TrainState, Batch, PyTree], tuple[TrainState, dict[str, Array]]]


def make_train_step(config: Config) -> TrainStep:
    """Compiles the step over all local devices (and, with jax.distributed, all processes').

    The returned function takes the state (unreplicated), a `Batch` whose arrays have the shape
    (devices, examples a device, h, w, 3), and what `perceptual_network` gives; it returns the state
    and the means over the whole batch of loss, gradient norm, update norm and parameter norm. The
    state's buffers are donated.
    """
    return jax.pmap(
        make_device_step(config),
        axis_name=AXIS,
        in_axes=(None, 0, None),
        out_axes=(None, None),
        donate_argnums=(0,),
    )


def make_device_step(config: Config) -> TrainStep:
    """What one device does in a step, with its own part of the batch: (examples, h, w, 3).

    It means something only where a mesh or `jax.pmap` names the axis `AXIS`: over it the gradients
    are averaged.
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

    return step


def batch_loss(
    config: Config,
    method: Method,
    params: PyTree,
    batch: Batch,
    key: Key[Array, ""],
    perceptual: PyTree,
) -> Float[Array, ""]:
    """The loss of one device's part of a batch, the mean over its examples.

    Every example is trained for the first estimate. Some are trained for draws too, most of them at
    t = 1, where every draw starts, the others at a random time: the denoiser samples the clean
    photo twice from one noisy state, beside the first estimate, which has no gradient from there.
    A direct network is trained on all examples at random times.
    """
    clean, rainy = (jnp.asarray(crops, jnp.float32) / 255 for crops in batch)
    count, height, width = clean.shape[:3]
    devices, device = jax.lax.axis_size(AXIS), jax.lax.axis_index(AXIS)
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(device * count + jnp.arange(count))
    time_key = jax.random.fold_in(key, 2**31 - 1)
    diffusion = config.diffusion

    if method.first is None:
        order = device * count + jnp.arange(count)
        t = spread_times(time_key, order, devices * count)
        examples = noise_examples(method, clean, rainy, keys, t)
        no_latent = jax.vmap(lambda k: draw_latent(k, (height, width)))(keys)
        prediction = method.predict(params, examples.noisy, rainy, t, rainy, no_latent)
        return jnp.mean(state_loss(method, prediction, examples))

    first = method.estimate(params, rainy)
    total = jnp.zeros(())
    if not config.training.freeze_first:
        total += jnp.sum(first_loss(diffusion, first, clean, perceptual))
    drawn = drawn_examples(diffusion.draw_share, devices, count)
    if drawn.total > 0:
        some, counts, order = (jnp.asarray(table)[device] for table in drawn)
        x, y, e = clean[some], rainy[some], jax.lax.stop_gradient(first)[some]
        t = spread_times(time_key, order, drawn.total, at_one=AT_ONE)
        noisy = noise_examples(method, x, y, keys[some], t).noisy

        def sample(number: int) -> Float[Array, "n h w 3"]:
            of_latent = jax.vmap(lambda k: jax.random.fold_in(k, number))(keys[some])
            latent = jax.vmap(lambda k: draw_latent(k, (height, width)))(of_latent)
            return method.predict(params, noisy, y, t, e, latent).photo

        loss = draw_loss(diffusion, sample(1), sample(2), x, perceptual)
        total += jnp.sum(loss * counts)
    return total / count
