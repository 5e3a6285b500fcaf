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

from fftdiff_jax import diffusion, metrics, noises, spectra, uncertainty
from fftdiff_jax.config import Config
from fftdiff_jax.denoiser import Prediction, predict
from fftdiff_jax.errors import UserError
from fftdiff_jax.training.state import TrainState, make_optimizer, update_ema

AXIS = "devices"
LOSSES = ("photo", "state")
# Weight of what the network says of its own error. No gradient of it reaches anything else, and
# AdamW does not care; it only must not fill the clipped gradient norm.
ERROR_WEIGHT = 0.01

# What an example of a batch is trained for.
FIRST, DRAW, REFINE = 0, 1, 2


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


def roles(config: Config, count: int) -> Int[np.ndarray, " b"]:
    """What each of `count` examples is trained for, every role spread evenly over them.

    FIRST: the estimate at t = 1, where every restoration starts. DRAW: the mean of the clean photo
    given a true noisy state. REFINE: a better photo, given the network's own estimate and no noise.
    """
    first = _every(count, config.diffusion.noisiest_share)
    found = np.where(first, FIRST, DRAW)
    later = np.flatnonzero(~first)
    share = config.diffusion.refine_share if config.model.self_conditioning else 0.0
    whole = 1.0 - config.diffusion.noisiest_share
    found[later[_every(later.size, min(share / whole, 1.0) if whole > 0 else 0.0)]] = REFINE
    return found


def _every(count: int, share: float) -> np.ndarray:
    """A share of `count` places, spread evenly (True)."""
    edges = np.floor(np.arange(count + 1) * share + 1e-9)
    return edges[1:] > edges[:-1]


def noise_examples(config: Config, batch: Batch, key: Array, offset: Int[Array, ""]) -> Noised:
    """Takes pairs through the forward process, each example with its own time and noise.

    Times are 1 for FIRST examples; for those of each other role they are evenly spread over (0, 1)
    with one random shift a batch, which lowers the loss's variance (Kingma et al. 2021).
    """
    clean, rainy = (jnp.asarray(crops, jnp.float32) / 255 for crops in batch)
    count = clean.shape[0]
    representation = spectra.make_representation(config.representation)
    schedule = diffusion.make_schedule(config.diffusion.schedule)
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(offset + jnp.arange(count))
    draw_noise = noises.make_noise(config.diffusion.noise)
    state = representation.encode(clean, rainy)
    noise = jax.vmap(draw_noise)(keys, rainy)

    role = roles(config, count)
    shift = jax.random.uniform(jax.random.fold_in(key, 2**31 - 1))
    t = jnp.ones(count)
    for kind in (DRAW, REFINE):
        mine = role == kind
        each = int(mine.sum())
        rank = jnp.asarray(np.cumsum(mine) - 1) + offset // count * each
        spread = jnp.mod(shift + rank / max(each * jax.lax.axis_size(AXIS), 1), 1.0)
        t = jnp.where(mine, spread, t)
    alpha, sigma = schedule.alpha(t)[:, None, None, None], schedule.sigma(t)[:, None, None, None]
    keep = None
    if config.diffusion.condition_dropout > 0:
        drop = jax.vmap(lambda k: jax.random.uniform(jax.random.fold_in(k, 1)))(keys)
        keep = drop >= config.diffusion.condition_dropout
    noisy = diffusion.diffuse(state, noise, alpha, sigma)
    return Noised(clean, rainy, state, noise, noisy, t, keep)


def first_estimates(
    config: Config, params: PyTree, examples: Noised
) -> tuple[Float[Array, "b h w 3"], Float[Array, "b h w 1"]]:
    """What the denoiser would have said before, and how wrong it would have thought that to be.

    Nothing (the rainy photo, and 0) at t = 1, its first estimate elsewhere.

    At t = 1 a restoration has seen only the rainy photo. Later it has seen its own first estimate,
    so that is what it is trained with (self-conditioning, Chen, Zhang and Hinton 2023), without
    gradients.
    """
    nothing = examples.rainy, jnp.zeros((*examples.rainy.shape[:-1], 1))
    later = np.flatnonzero(roles(config, examples.t.shape[0]) != FIRST)
    if not config.model.self_conditioning or later.size == 0:
        return nothing
    rainy, noise = examples.rainy[later], examples.noise[later]
    none = nothing[1][later]
    guess = predict(config, params, noise, rainy, jnp.ones(later.size), rainy, none)
    said = jax.lax.stop_gradient((guess.photo, jnp.exp(guess.log_deviation)))
    photo, deviation = (old.at[later].set(new) for old, new in zip(nothing, said, strict=True))
    return photo, deviation


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


def mean_loss(prediction: Prediction, clean: Float[Array, "b h w 3"]) -> Float[Array, " b"]:
    """Squared error over the deviation that the network itself expects, a number an example.

    What minimises it is the mean of the clean photo, which draws need (L1 would give the median).
    The division keeps it in the units of L1 at every noise level (Seitzer et al. 2022, eq. 5).
    Beyond three deviations it grows like L1 as well (Huber 1964), so that a few states that decode
    to nothing like the photo do not shout the others down.
    """
    deviation = jax.lax.stop_gradient(_deviation(prediction))
    error = jnp.abs(prediction.photo - clean)
    loss = jnp.where(
        error < 3 * deviation, jnp.square(error) / deviation, 6 * error - 9 * deviation
    )
    return jnp.mean(loss, axis=(1, 2, 3))


def error_loss(prediction: Prediction, clean: Float[Array, "b h w 3"]) -> Float[Array, " b"]:
    """How badly the network describes its own error, per pixel and per frequency."""
    error = jax.lax.stop_gradient(prediction.photo - clean)
    loss = uncertainty.deviation_loss(error, prediction.log_deviation)
    whitened = error / jax.lax.stop_gradient(_deviation(prediction))
    return loss + uncertainty.colour_loss(whitened, prediction.colour)


def _deviation(prediction: Prediction) -> Float[Array, "b h w 1"]:
    return jnp.exp(prediction.log_deviation)


def consistent_loss(
    config: Config, prediction: Prediction, examples: Noised, perceptual: PyTree
) -> Float[Array, " b"]:
    """The loss of an image-consistent denoiser, each example by its role, a number an example."""
    role = roles(config, examples.t.shape[0])
    loss = jnp.where(
        role == DRAW,
        mean_loss(prediction, examples.clean),
        photo_loss(config, prediction.photo, examples.clean),
    )
    shown = np.flatnonzero(role != DRAW)
    last, first = config.diffusion.refine_perceptual_weight, config.diffusion.perceptual_weight
    if perceptual is not None and shown.size:
        distance = metrics.perceptual_distance(
            perceptual, prediction.photo[shown], examples.clean[shown]
        )
        t = examples.t[shown]
        loss = loss.at[shown].add((first * t + last * (1 - t)) * distance)
    return loss + ERROR_WEIGHT * error_loss(prediction, examples.clean)


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


def perceptual_network(config: Config) -> PyTree:
    """The frozen weights of LPIPS (AlexNet) that the step wants; None where no loss uses them."""
    weights = (config.diffusion.perceptual_weight, config.diffusion.refine_perceptual_weight)
    return metrics.perceptual_params("alexnet") if max(weights) > 0 else None


TrainStep = Callable[[TrainState, Batch, PyTree], tuple[TrainState, dict[str, Array]]]


def make_train_step(config: Config) -> TrainStep:
    """Compiles the step over all local devices (and, with jax.distributed, all processes').

    The returned function takes the state (unreplicated), a `Batch` whose arrays have the shape
    (devices, examples a device, h, w, 3), and what `perceptual_network` gives; it returns the state
    and the means over the whole batch of loss, gradient norm, update norm and parameter norm. The
    state's buffers are donated.

    Raises:
      UserError: an unknown loss.
    """
    if config.diffusion.loss not in LOSSES:
        raise UserError(f"diffusion.loss is {config.diffusion.loss!r}; known: {', '.join(LOSSES)}")
    optimizer = make_optimizer(config.training)
    base_key = jax.random.key(config.training.seed)

    def loss_of(params: PyTree, examples: Noised, perceptual: PyTree) -> Float[Array, ""]:
        estimate, deviation = first_estimates(config, params, examples)
        prediction = predict(
            config,
            params,
            examples.noisy,
            examples.rainy,
            examples.t,
            estimate,
            deviation,
            jnp.asarray(roles(config, examples.t.shape[0]) != REFINE, jnp.float32),
            examples.keep_condition,
        )
        if config.diffusion.loss == "state":
            loss = state_loss(config, prediction, examples)
            if config.model.prediction == "image_consistent":
                loss += ERROR_WEIGHT * error_loss(prediction, examples.clean)
            return jnp.mean(loss)
        return jnp.mean(consistent_loss(config, prediction, examples, perceptual))

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
