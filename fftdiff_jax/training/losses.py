"""The losses: functions of what a network says and of the clean photo, one number an example.

`first_loss` trains the first estimate, `draw_loss` the denoiser that samples photos, and
`state_loss` the original recipe's; the rest are their terms.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, PyTree

from fftdiff_jax.config import DiffusionConfig
from fftdiff_jax.method import diffusion, spectra
from fftdiff_jax.method.denoiser import Direct, Prediction
from fftdiff_jax.method.method import Method
from fftdiff_jax.metrics import frozen, lpips
from fftdiff_jax.training.examples import Noised

# Where L1 is rounded off, a fortieth of a grey level. At a sharp kink the sign of an error of the
# size of rounding decides on a whole gradient, and runs on other devices part company.
L1_ROUNDING = 1e-4
# Weights of what draws are scored on: the photo, then the bands of its pyramid, finest first.
PHOTO_WEIGHT = 1.0
BAND_WEIGHTS = (1.0, 2.0, 2.0, 1.0, 1.0)
# Of their spectrum: one pattern of random strength, such as a grid, spreads all pixels as it should
# and one frequency far too much.
SPECTRUM_WEIGHT = 1.0
# Of the channels' means. In the other terms they are a small part, and how bright a photo is then
# spreads several times too far (docs/notebook/screens.md).
TONE_WEIGHT = 2.0
DRAW_PERCEPTUAL = (
    0.5  # of the weight of LPIPS in the first estimate's loss: for each of two samples
)


def first_loss(
    config: DiffusionConfig,
    photo: Float[Array, "b h w 3"],
    clean: Float[Array, "b h w 3"],
    perceptual: PyTree,
) -> Float[Array, " b"]:
    """The loss of the first estimate, which is the best single photo.

    L1 on the photo plus `spectrum_weight` times L1 on its spectrum, plus `perceptual_weight` times
    LPIPS.

    Args:
      config: the weights of the terms.
      photo: the estimate.
      clean: the photo that it should be, in [0, 1].
      perceptual: weights of LPIPS; None: without this term.
    """
    error = photo - clean
    loss = jnp.mean(rounded_l1(error), axis=(1, 2, 3))
    if config.spectrum_weight > 0:
        spectrum = spectra.to_spectrum(error)
        size = rounded_l1(spectrum.real) + rounded_l1(spectrum.imag)
        loss += config.spectrum_weight * jnp.mean(size, axis=(1, 2, 3))
    if perceptual is not None:
        loss += config.perceptual_weight * lpips.perceptual_distance(perceptual, photo, clean)
    return loss


def rounded_l1(error: Inexact[Array, "*d"]) -> Float[Array, "*d"]:
    """|error| beyond `L1_ROUNDING`, smooth at 0 (Charbonnier et al. 1994; Lai et al. 2017)."""
    square = jnp.square(error.real) + jnp.square(error.imag)
    return jnp.sqrt(square + L1_ROUNDING**2) - L1_ROUNDING


def draw_loss(
    config: DiffusionConfig,
    one: Float[Array, "b h w 3"],
    other: Float[Array, "b h w 3"],
    clean: Float[Array, "b h w 3"],
    perceptual: PyTree,
) -> Float[Array, " b"]:
    """How far two samples are from being spread as the truth is: a scoring rule, least if they are.

    The energy score of the photo, of each band of its Laplacian pyramid, of each number of its
    spectrum and of its tone, so that each of them is spread for itself, plus a little LPIPS of each
    sample.

    Args:
      config: the weights of the terms.
      one, other: two samples of one noisy state.
      clean: the truth.
      perceptual: weights of LPIPS; None: without this term.
    """
    loss = PHOTO_WEIGHT * fair_score(one, other, clean)
    bands = zip(*(pyramid(x) for x in (one, other, clean)), strict=True)
    for weight, band in zip(BAND_WEIGHTS, bands, strict=False):
        loss += weight * fair_score(*band)
    loss += SPECTRUM_WEIGHT * fair_score(*map(spectra.to_spectrum, (one, other, clean)))
    loss += TONE_WEIGHT * fair_score(*(x.mean(axis=(1, 2)) for x in (one, other, clean)))
    if perceptual is not None:
        distances = (lpips.perceptual_distance(perceptual, x, clean) for x in (one, other))
        loss += DRAW_PERCEPTUAL * config.perceptual_weight * sum(distances)
    return loss


def pyramid(photo: Float[Array, "b h w 3"]) -> list[Float[Array, "b h2 w2 3"]]:
    """The bands of a Laplacian pyramid, an octave each, finest first, and what is left.

    Burt and Adelson 1983, with means of 2 x 2 pixels for their filter; a last odd row or column is
    left out.
    """
    bands = []
    for _ in BAND_WEIGHTS[1:]:
        rows, columns = photo.shape[1] // 2, photo.shape[2] // 2
        if rows == 0 or columns == 0:
            break
        photo = photo[:, : 2 * rows, : 2 * columns]
        coarse = photo.reshape(len(photo), rows, 2, columns, 2, 3).mean(axis=(2, 4))
        bands.append(photo - jnp.repeat(jnp.repeat(coarse, 2, axis=1), 2, axis=2))
        photo = coarse
    return [*bands, photo]


def fair_score(
    one: Inexact[Array, "b ..."], other: Inexact[Array, "b ..."], truth: Inexact[Array, "b ..."]
) -> Float[Array, " b"]:
    """The energy score of an ensemble of two, the mean over its numbers.

    (|a - x| + |b - x|)/2 - |a - b|/2, whose mean is least where a, b and the truth x come from one
    distribution (Gneiting and Raftery 2007, eq. 22; of real numbers it is the fair CRPS of Ferro
    2014).
    """
    apart = (rounded_l1(one - truth) + rounded_l1(other - truth) - rounded_l1(one - other)) / 2
    return jnp.mean(apart, axis=tuple(range(1, apart.ndim)))


def state_loss(method: Method, prediction: Prediction, examples: Noised) -> Float[Array, " b"]:
    """Mean squared error of a direct network's target (Ho et al. 2020, eq. 14)."""
    assert isinstance(method.denoiser, Direct)
    schedule, target = method.schedule, method.denoiser.target
    alpha, sigma = (f(examples.t)[:, None, None, None] for f in (schedule.alpha, schedule.sigma))
    goal = diffusion.to_target(examples.state, examples.noise, alpha, sigma, target)
    return jnp.mean(jnp.square(prediction.output - goal), axis=(1, 2, 3))


def perceptual_network(config: DiffusionConfig) -> PyTree:
    """The frozen weights of LPIPS (AlexNet) for the losses; None where they do not use them."""
    return frozen.load("alexnet") if config.perceptual_weight > 0 else None
