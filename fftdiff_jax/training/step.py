"""One training step, data-parallel under `jax.pmap`.

Randomness is folded from (seed, step, index of the example in the global batch). A restart repeats
it, and the number of devices does not change what happens to an example.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree, UInt8

from fftdiff_jax import diffusion, metrics, spectra
from fftdiff_jax.config import Config
from fftdiff_jax.denoiser import Prediction, predict
from fftdiff_jax.errors import UserError
from fftdiff_jax.training.state import TrainState, make_optimizer, update_ema

AXIS = "devices"
LOSSES = ("photo", "state")


class Batch(NamedTuple):
    """Pairs of crops, one slice a device."""

    clean: UInt8[Array | np.ndarray, "d b h w 3"]
    rainy: UInt8[Array | np.ndarray, "d b h w 3"]


class Noised(NamedTuple):
    """Examples of one batch on their way through the forward process."""

    clean: Float[Array, "b h w 3"]
    rainy: Float[Array, "b h w 3"]
    state: Float[Array, "b h w 6"]
    noise: Float[Array, "b h w 6"]
    noisy: Float[Array, "b h w 6"]
    t: Float[Array, " b"]
    keep_condition: Array | None


def noisiest_pattern(count: int, share: float) -> np.ndarray:
    """Which of `count` examples start at t = 1, spread evenly (True where they do)."""
    edges = np.floor(np.arange(count + 1) * share + 1e-9)
    return edges[1:] > edges[:-1]


def noise_examples(config: Config, batch: Batch, key: Array, offset: Int[Array, ""]) -> Noised:
    """Takes pairs through the forward process, each example with its own time and noise.

    Times are 1 for `noisiest_share` of the examples; for the others they are evenly spread over
    (0, 1) with one random shift a batch, which lowers the loss's variance (Kingma et al. 2021).
    """
    clean, rainy = (jnp.asarray(crops, jnp.float32) / 255 for crops in batch)
    count = clean.shape[0]
    representation = spectra.make_representation(config.representation)
    schedule = diffusion.make_schedule(config.diffusion.schedule)
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(offset + jnp.arange(count))
    draw_noise = spectra.make_noise(config.diffusion.noise)
    state = representation.encode(clean, rainy)
    noise = jax.vmap(draw_noise)(keys, rainy)

    first = noisiest_pattern(count, config.diffusion.noisiest_share)
    later = count - int(first.sum())
    rank = jnp.asarray(np.cumsum(~first) - 1) + offset // count * later
    whole = later * jax.lax.axis_size(AXIS)
    shift = jax.random.uniform(jax.random.fold_in(key, 2**31 - 1))
    spread = jnp.mod(shift + rank / max(whole, 1), 1.0)
    t = jnp.where(first, 1.0, spread)
    alpha, sigma = schedule.alpha(t)[:, None, None, None], schedule.sigma(t)[:, None, None, None]
    keep = None
    if config.diffusion.condition_dropout > 0:
        drop = jax.vmap(lambda k: jax.random.uniform(jax.random.fold_in(k, 1)))(keys)
        keep = drop >= config.diffusion.condition_dropout
    noisy = diffusion.diffuse(state, noise, alpha, sigma)
    return Noised(clean, rainy, state, noise, noisy, t, keep)


def first_estimates(config: Config, params: PyTree, examples: Noised) -> Float[Array, "b h w 3"]:
    """What the denoiser would have said before: nothing at t = 1, its first estimate elsewhere.

    At t = 1 a draw has seen only the rainy photo. Later it has seen its own estimate, so that is
    what it is trained with (self-conditioning, Chen, Zhang and Hinton 2023), without gradients.
    """
    if not config.model.self_conditioning:
        return examples.rainy
    first = noisiest_pattern(examples.t.shape[0], config.diffusion.noisiest_share)
    later = np.flatnonzero(~first)
    if later.size == 0:
        return examples.rainy
    rainy, noise = examples.rainy[later], examples.noise[later]
    guess = predict(config, params, noise, rainy, jnp.ones(later.size), rainy)
    return examples.rainy.at[later].set(jax.lax.stop_gradient(guess.photo))


def photo_loss(
    config: Config, photo: Float[Array, "b h w 3"], clean: Float[Array, "b h w 3"]
) -> Float[Array, " b"]:
    """L1 on the photo plus `spectrum_weight` times L1 on its spectrum, a number an example."""
    error = photo - clean
    loss = jnp.mean(jnp.abs(error), axis=(1, 2, 3))
    if config.diffusion.spectrum_weight > 0:
        spectrum = spectra.to_spectrum(error)
        size = jnp.abs(spectrum.real) + jnp.abs(spectrum.imag)
        loss += config.diffusion.spectrum_weight * jnp.mean(size, axis=(1, 2, 3))
    return loss


def state_loss(config: Config, prediction: Prediction, examples: Noised) -> Float[Array, " b"]:
    """Mean squared error of the network's target, a number an example (Ho et al. 2020, eq. 14)."""
    schedule = diffusion.make_schedule(config.diffusion.schedule)
    alpha, sigma = schedule.alpha(examples.t), schedule.sigma(examples.t)
    said, target = prediction.state, "clean"
    if config.model.prediction == "direct":
        said, target = prediction.output, config.diffusion.target
    wide = (slice(None), None, None, None)
    goal = diffusion.to_target(examples.state, examples.noise, alpha[wide], sigma[wide], target)
    loss = jnp.mean(jnp.square(said - goal), axis=(1, 2, 3))
    if config.diffusion.snr_weight_limit > 0:
        limit = config.diffusion.snr_weight_limit
        loss *= diffusion.min_snr_weight(alpha, sigma, target, limit)
    return loss


TrainStep = Callable[[TrainState, Batch, PyTree], tuple[TrainState, dict[str, Array]]]


def make_train_step(config: Config) -> TrainStep:
    """Compiles the step over all local devices (and, with jax.distributed, all processes').

    The returned function takes the state (unreplicated), a `Batch` whose arrays have the shape
    (devices, examples a device, h, w, 3), and the frozen weights of the perceptual network (or
    None); it gives the new state and the means over the whole batch of loss, gradient norm, update
    norm and parameter norm. The state's buffers are donated.

    Raises:
      UserError: an unknown loss.
    """
    if config.diffusion.loss not in LOSSES:
        raise UserError(f"diffusion.loss is {config.diffusion.loss!r}; known: {', '.join(LOSSES)}")
    optimizer = make_optimizer(config.training)
    base_key = jax.random.key(config.training.seed)

    def loss_of(params: PyTree, examples: Noised, perceptual: PyTree) -> Float[Array, ""]:
        estimate = first_estimates(config, params, examples)
        prediction = predict(
            config,
            params,
            examples.noisy,
            examples.rainy,
            examples.t,
            estimate,
            examples.keep_condition,
        )
        if config.diffusion.loss == "state":
            loss = state_loss(config, prediction, examples)
        else:
            loss = photo_loss(config, prediction.photo, examples.clean)
        if config.diffusion.perceptual_weight > 0:
            distance = metrics.perceptual_distance(perceptual, prediction.photo, examples.clean)
            loss += config.diffusion.perceptual_weight * distance
        return jnp.mean(loss)

    def step(
        state: TrainState, batch: Batch, perceptual: PyTree
    ) -> tuple[TrainState, dict[str, Array]]:
        offset = jax.lax.axis_index(AXIS) * batch.clean.shape[0]
        key = jax.random.fold_in(base_key, state.step)
        examples = noise_examples(config, batch, key, offset)
        loss, grads = jax.value_and_grad(loss_of)(state.params, examples, perceptual)
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
