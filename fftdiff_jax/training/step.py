"""One training step, data-parallel under `jax.pmap`.

Randomness is folded from (seed, step, index of the example in the global batch). A restart repeats
it, and the number of devices does not change what happens to an example.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree, UInt8

from fftdiff_jax.config import Config
from fftdiff_jax.method import diffusion, error_model, noises, spectra
from fftdiff_jax.method.denoiser import Prediction
from fftdiff_jax.method.method import Method, make_method
from fftdiff_jax.metrics import lpips
from fftdiff_jax.training.state import TrainState, make_optimizer, update_ema

AXIS = "devices"
# Weight of what the network says of its own error. No gradient of it reaches anything else, and
# AdamW does not care; small, so that it does not use up the limit on the gradient norm.
ERROR_WEIGHT = 0.01


# Weight of the draws' loss. Errors of draws are large where the network does not expect it yet, and
# at weight 1 they drowned the first estimate's loss early on.
DRAW_WEIGHT = 0.25


# Where L1 is rounded off, a fortieth of a grey level. At a sharp kink the sign of an error of the
# size of rounding decides on a whole gradient, and runs on other devices part company.
L1_ROUNDING = 1e-4


class Batch(NamedTuple):
    """Pairs of crops, one slice a device."""

    clean: UInt8[Array | np.ndarray, "d b h w 3"]
    rainy: UInt8[Array | np.ndarray, "d b h w 3"]


class Noised(NamedTuple):
    """Examples of one batch on their way through the forward process."""

    state: Float[Array, "n h w 6"]
    noise: Float[Array, "n h w 6"]
    noisy: Float[Array, "n h w 6"]
    t: Float[Array, " n"]


class Later(NamedTuple):
    """Which examples of a batch are trained at a random time too.

    Every device has the same number n of places, since all run one program; places that are left
    over hold an example that does not count.
    """

    places: Int[np.ndarray, "d n"]
    counts: Bool[np.ndarray, "d n"]
    order: Int[np.ndarray, "d n"]  # among all that count

    @property
    def total(self) -> int:
        """How many count, on all devices together."""
        return int(self.counts.sum())


def later_examples(config: Config, devices: int, count: int) -> Later:
    """Picks from `count` examples on each of `devices`, spread evenly over the whole batch.

    Which ones they are does not depend on the number of devices. A share that is not 0 takes one
    example at least. With the loss on the state every one is taken, and no other time is trained.
    """
    share = 1.0 if config.diffusion.loss == "state" else config.diffusion.draw_share
    edges = np.ceil(np.arange(devices * count + 1) * share - 1e-9)
    chosen = edges[1:] > edges[:-1]
    order = (np.cumsum(chosen) - 1).reshape(devices, count)
    chosen = chosen.reshape(devices, count)
    places = np.argsort(~chosen, axis=1, kind="stable")[:, : chosen.sum(axis=1).max()]
    here = np.arange(devices)[:, None]
    return Later(places, chosen[here, places], order[here, places])


def config_at(config: Config, step: int) -> Config:
    """What holds in one update, the first of which is 1: no draws before `draw_start` of them all.

    Draws begin where the first estimate has been learnt for the most part: they start from it, and
    before it is good they only take its time.
    """
    diffusion = config.diffusion
    if step > diffusion.draw_start * config.training.steps or diffusion.loss == "state":
        return config
    return dataclasses.replace(config, diffusion=dataclasses.replace(diffusion, draw_share=0.0))


def noise_examples(
    method: Method,
    clean: Float[Array, "n h w 3"],
    rainy: Float[Array, "n h w 3"],
    keys: Key[Array, " n"],
    t: Float[Array, " n"],
) -> Noised:
    """Takes pairs of photos in [0, 1] through the forward process, each with its own noise."""
    schedule = method.schedule
    state = method.representation.encode(clean, rainy)
    noise = jax.vmap(functools.partial(noises.draw_noise, method.noise))(keys, rainy)
    alpha, sigma = schedule.alpha(t)[:, None, None, None], schedule.sigma(t)[:, None, None, None]
    return Noised(state, noise, diffusion.diffuse(state, noise, alpha, sigma), t)


def spread_times(key: Key[Array, ""], order: Int[Array, " n"], total: int) -> Float[Array, " n"]:
    """Times in (0, 1) of those that have the places `order` among `total` examples.

    Evenly spread over the whole batch, with one random shift, which lowers the loss's variance
    (Kingma et al. 2021).
    """
    return jnp.mod(jax.random.uniform(key) + order / total, 1.0)


def rounded_l1(error: Float[Array, "*d"]) -> Float[Array, "*d"]:
    """|error| beyond `L1_ROUNDING`, smooth at 0 (Charbonnier et al. 1994; Lai et al. 2017)."""
    return jnp.sqrt(jnp.square(error) + L1_ROUNDING**2) - L1_ROUNDING


def photo_loss(
    config: Config, photo: Float[Array, "b h w 3"], clean: Float[Array, "b h w 3"]
) -> Float[Array, " b"]:
    """L1 on the photo plus `spectrum_weight` times L1 on its spectrum, both rounded off at 0."""
    error = photo - clean
    loss = jnp.mean(rounded_l1(error), axis=(1, 2, 3))
    if config.diffusion.spectrum_weight > 0:
        spectrum = spectra.to_spectrum(error)
        size = rounded_l1(spectrum.real) + rounded_l1(spectrum.imag)
        loss += config.diffusion.spectrum_weight * jnp.mean(size, axis=(1, 2, 3))
    return loss


def mean_loss(prediction: Prediction, clean: Float[Array, "b h w 3"]) -> Float[Array, " b"]:
    """Squared error over the std that the network itself expects, a number an example.

    What minimises it is the mean of the clean photo, which draws need (L1 would give the median).
    The division keeps it in the units of L1 at every noise level (Seitzer et al. 2022, eq. 5).
    Beyond three standard deviations it grows like L1 as well (Huber 1964), so that a few states
    that decode to nothing like the photo do not drown the others.
    """
    std = jax.lax.stop_gradient(jnp.exp(prediction.log_std))
    error = jnp.abs(prediction.photo - clean)
    loss = jnp.where(error < 3 * std, jnp.square(error) / std, 6 * error - 9 * std)
    return jnp.mean(loss, axis=(1, 2, 3))


def error_loss(prediction: Prediction, clean: Float[Array, "b h w 3"]) -> Float[Array, " b"]:
    """How badly the network describes its own error, per pixel and per frequency."""
    error = jax.lax.stop_gradient(prediction.photo - clean)
    loss = error_model.std_loss(error, prediction.log_std)
    whitened = error / jax.lax.stop_gradient(jnp.exp(prediction.log_std))
    return loss + error_model.spectrum_loss(whitened, prediction.error_spectrum)


def first_loss(
    config: Config,
    prediction: Prediction,
    clean: Float[Array, "b h w 3"],
    perceptual: PyTree,
) -> Float[Array, " b"]:
    """The loss of the first estimate, which is the best single photo, a number an example."""
    loss = photo_loss(config, prediction.photo, clean)
    if perceptual is not None:
        distance = lpips.perceptual_distance(perceptual, prediction.photo, clean)
        loss += config.diffusion.perceptual_weight * distance
    return loss + ERROR_WEIGHT * error_loss(prediction, clean)


def state_loss(method: Method, prediction: Prediction, examples: Noised) -> Float[Array, " b"]:
    """Mean squared error of the network's target, a number an example (Ho et al. 2020, eq. 14)."""
    if method.denoiser.sees_photos:
        return jnp.mean(jnp.square(prediction.state - examples.state), axis=(1, 2, 3))
    schedule = method.schedule
    alpha, sigma = (f(examples.t)[:, None, None, None] for f in (schedule.alpha, schedule.sigma))
    goal = diffusion.to_target(examples.state, examples.noise, alpha, sigma, method.denoiser.target)
    return jnp.mean(jnp.square(prediction.output - goal), axis=(1, 2, 3))


def batch_loss(
    config: Config,
    method: Method,
    params: PyTree,
    batch: Batch,
    key: Key[Array, ""],
    perceptual: PyTree,
) -> Float[Array, ""]:
    """The loss of one device's part of a batch, the mean over its examples.

    Every example is trained at t = 1, where each restoration starts and one of one step ends. Some
    are trained at a random time too: there the network sees a noisy state and, without a gradient,
    its own first estimate and how wrong it took that to be, as a draw's later steps do
    (self-conditioning: Chen, Zhang and Hinton 2023).
    """
    clean, rainy = (jnp.asarray(crops, jnp.float32) / 255 for crops in batch)
    count = clean.shape[0]
    device = jax.lax.axis_index(AXIS)
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(device * count + jnp.arange(count))
    on_state = config.diffusion.loss == "state"
    total = jnp.zeros(())
    estimate, std = rainy, jnp.zeros((*rainy.shape[:-1], 1))
    if not on_state or config.model.self_conditioning:
        first = method.predict_first(params, rainy)
        if not on_state:
            total += jnp.sum(first_loss(config, first, clean, perceptual))
        estimate = jax.lax.stop_gradient(first.photo)
        std = jax.lax.stop_gradient(jnp.exp(first.log_std))

    everywhere = later_examples(config, jax.lax.axis_size(AXIS), count)
    if everywhere.total == 0:
        return total / count
    some, counts, order = (jnp.asarray(table)[device] for table in everywhere)
    t = spread_times(jax.random.fold_in(key, 2**31 - 1), order, everywhere.total)
    examples = noise_examples(method, clean[some], rainy[some], keys[some], t)
    later = method.predict(params, examples.noisy, rainy[some], t, estimate[some], std[some])
    if on_state:
        loss = state_loss(method, later, examples)
    else:
        loss = DRAW_WEIGHT * mean_loss(later, clean[some])
    if method.denoiser.sees_photos:
        loss += ERROR_WEIGHT * error_loss(later, clean[some])
    return (total + jnp.sum(loss * counts)) / count


def perceptual_network(config: Config) -> PyTree:
    """The frozen weights of LPIPS (AlexNet) that the step wants; None where no loss uses them."""
    wanted = config.diffusion.perceptual_weight > 0
    return lpips.perceptual_params("alexnet") if wanted else None


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
