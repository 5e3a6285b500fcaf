"""The losses: functions of a prediction and of the clean photo, one number an example.

`first_loss` trains the estimate at t = 1, `later_loss` those at other times; the rest are their
terms. Where `config.diffusion.loss` is "state" the first one has no loss.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from fftdiff_jax.config import Config
from fftdiff_jax.method import diffusion, error_model, spectra
from fftdiff_jax.method.denoiser import Prediction
from fftdiff_jax.method.method import Method
from fftdiff_jax.metrics import lpips
from fftdiff_jax.training.examples import Noised

# Weight of how well the network describes its own error. No gradient of it reaches anything else,
# and AdamW does not care; small, so that it does not use up the limit on the gradient norm.
ERROR_WEIGHT = 0.01
# Weight of the draws' loss. Errors of draws are large where the network does not expect it yet, and
# at weight 1 they drowned the first estimate's loss early on.
DRAW_WEIGHT = 0.25
# Where L1 is rounded off, a fortieth of a grey level. At a sharp kink the sign of an error of the
# size of rounding decides on a whole gradient, and runs on other devices part company.
L1_ROUNDING = 1e-4


def first_loss(
    config: Config, prediction: Prediction, clean: Float[Array, "b h w 3"], perceptual: PyTree
) -> Float[Array, " b"]:
    """The loss of the first estimate, which is the best single photo.

    Args:
      config: the experiment.
      prediction: at t = 1.
      clean: the photo that it should be, in [0, 1].
      perceptual: weights of LPIPS; None: without this term.
    """
    if config.diffusion.loss == "state":
        return jnp.zeros(len(clean))
    loss = photo_loss(config, prediction.photo, clean)
    if perceptual is not None:
        distance = lpips.perceptual_distance(perceptual, prediction.photo, clean)
        loss += config.diffusion.perceptual_weight * distance
    return loss + ERROR_WEIGHT * error_loss(prediction, clean)


def later_loss(
    config: Config,
    method: Method,
    prediction: Prediction,
    clean: Float[Array, "b h w 3"],
    examples: Noised,
) -> Float[Array, " b"]:
    """The loss at a random time, of the photo as draws need it or of the state.

    Args:
      config: the experiment.
      method: what it resolves to.
      prediction: at the times of `examples`.
      clean: the photo that it should be, in [0, 1].
      examples: what was predicted from.
    """
    if config.diffusion.loss == "state":
        loss = state_loss(method, prediction, examples)
    else:
        loss = DRAW_WEIGHT * mean_loss(prediction, clean)
    if method.denoiser.sees_photos:
        loss += ERROR_WEIGHT * error_loss(prediction, clean)
    return loss


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


def rounded_l1(error: Float[Array, "*d"]) -> Float[Array, "*d"]:
    """|error| beyond `L1_ROUNDING`, smooth at 0 (Charbonnier et al. 1994; Lai et al. 2017)."""
    return jnp.sqrt(jnp.square(error) + L1_ROUNDING**2) - L1_ROUNDING


def mean_loss(prediction: Prediction, clean: Float[Array, "b h w 3"]) -> Float[Array, " b"]:
    """Squared error over the standard deviation that the network itself expects.

    What minimises it is the mean of the clean photo, which draws need (L1 would give the median).
    The division keeps it in the units of L1 at every noise level (Seitzer et al. 2022, eq. 5).
    Beyond three standard deviations it grows like L1 as well (Huber 1964), so that a few states
    that decode to nothing like the photo do not outweigh the others.
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


def state_loss(method: Method, prediction: Prediction, examples: Noised) -> Float[Array, " b"]:
    """Mean squared error of the network's target (Ho et al. 2020, eq. 14)."""
    denoiser = method.denoiser
    if denoiser.sees_photos:
        return jnp.mean(jnp.square(prediction.state - examples.state), axis=(1, 2, 3))
    schedule = method.schedule
    alpha, sigma = (f(examples.t)[:, None, None, None] for f in (schedule.alpha, schedule.sigma))
    goal = diffusion.to_target(examples.state, examples.noise, alpha, sigma, denoiser.target)
    return jnp.mean(jnp.square(prediction.output - goal), axis=(1, 2, 3))


def perceptual_network(config: Config) -> PyTree:
    """The frozen weights of LPIPS (AlexNet) for `first_loss`; None where it does not use them."""
    wanted = config.diffusion.perceptual_weight > 0
    return lpips.perceptual_params("alexnet") if wanted else None
