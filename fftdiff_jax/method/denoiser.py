"""The denoiser: joins representation and network, (noisy state, rainy photo, t) -> clean state.

Three modules, each with weights of its own:

* `FirstEstimate`: the best single photo, a regression from the rainy one. It sees no state: at
  t = 1 a state shows nothing.
* `ImageConsistent`: *samples* the clean photo given a noisy state. Its UNet sees and outputs
  photos, and its output is encoded again. Whatever it is, it is then the state of a real photo; a
  magnitude that fits no phase cannot come out.
* `Direct`, the original recipe: the UNet sees the noisy state beside the condition as if the
  spectrum were a picture, and outputs x, eps or v of the state.

A sample is a function of noise of its own (`noises.Latent`), and is trained by a scoring rule
(training/losses.py) to be spread as the truth is given the state (De Bortoli et al. 2025). So one
evaluation at t = 1 is a draw already.

The image-consistent network outputs what to add to a guess b, which is right already where nothing
is left to learn (preconditioning, after Karras et al. 2022, section 5):

    b = y + k (d - y),    k = alpha v / (alpha^2 v + sigma^2),

with y the rainy photo, d = decode(z_t) the photo that the noisy state shows, and v the variance of
the rain where noise's is 1: the best linear guess of x from both. At t = 1 the state shows nothing
and b = y; near t = 0 it shows everything, and b = d.
"""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from fftdiff_jax.method import diffusion, spectra
from fftdiff_jax.method.noises import Latent
from fftdiff_jax.method.representations import Representation
from fftdiff_jax.method.unet import UNet, level_features

# v: noise is as strong as rain where it rains; on Rain800's train split the mean over all
# frequencies but the constant term is 0.2 to 0.3.
RAIN_VARIANCE = 0.25
# What a latent's pixels are multiplied by as some of the network's pictures: as strong as photos.
LATENT_STD = 0.25


class FirstEstimate(nn.Module):
    """The clean photo that is right most often, from the rainy one alone.

    Attributes:
      unet: from the rainy photo to what is added to it.
    """

    unet: UNet

    def __call__(
        self, rainy: Float[Array, "b h w 3"], mirror: bool = False
    ) -> Float[Array, "b h w 3"]:
        """Estimates the clean photo, not clipped.

        Args:
          rainy: y, in [0, 1].
          mirror: the network also sees everything mirrored left to right, and the mean of both
            outputs counts, in twice the time (self-ensemble: Timofte, Rothe and Van Gool 2016).
        """
        seen = rainy - 0.5
        picture: Float[Array, "b h w 3"] = self.unet(seen)
        if mirror:
            picture = (picture + self.unet(seen[:, :, ::-1])[:, :, ::-1]) / 2
        return rainy + picture


class Prediction(NamedTuple):
    """A denoiser's output for one noisy state."""

    state: Float[Array, "b h w 6"]  # the clean state
    photo: Float[Array, "b h w 3"]  # the clean photo that it decodes to, not clipped
    output: Float[Array, "b h w c"]  # the network's own: a photo, or the target


class ImageConsistent(nn.Module):
    """Samples the clean photo, and encodes it.

    Attributes:
      representation: of the state.
      schedule: of the forward process.
      unet: from pictures to what is added to the guess.
    """

    representation: Representation
    schedule: diffusion.Schedule
    unet: UNet

    def __call__(
        self,
        noisy: Float[Array, "b h w 6"],
        rainy: Float[Array, "b h w 3"],
        t: Float[Array, " b"],
        first: Float[Array, "b h w 3"],
        latent: Latent,
    ) -> Prediction:
        """Samples the clean state.

        Args:
          noisy: z_t.
          rainy: the rainy photo y, in [0, 1].
          t: time of each example, in [0, 1].
          first: the photo e of the first estimate.
          latent: what decides which of the possible photos it is.
        """
        alpha = self.schedule.alpha(t)[:, None, None, None]
        sigma = self.schedule.sigma(t)[:, None, None, None]
        # Wild states decode to wild photos; a factor of 2 keeps all that could be a photo.
        decoded = jnp.clip(self.representation.decode(noisy, rainy), -2.0, 3.0)
        # At least what float32 tells from 0.
        noise_power = jnp.maximum(jnp.square(sigma), 1e-6)
        gain = alpha * RAIN_VARIANCE / (jnp.square(alpha) * RAIN_VARIANCE + noise_power)
        guess = rainy + gain * (decoded - rainy)
        pictures = jnp.concatenate([guess, rainy, first], axis=-1) - 0.5  # centred on 0
        level = level_features(diffusion.log_snr(self.schedule, t))
        picture: Float[Array, "b h w 3"] = self.unet(
            jnp.concatenate([pictures, LATENT_STD * latent.pixels], axis=-1),
            jnp.concatenate([level, alpha[:, 0, 0], latent.numbers], axis=-1),
        )
        photo = guess + picture
        return Prediction(self.representation.encode(photo, rainy), photo, photo)


class Direct(nn.Module):
    """Predicts x, eps or v of the state itself, as the original recipe does.

    Attributes:
      representation: of the state.
      schedule: of the forward process.
      unet: from the noisy state and the condition to the target.
      target: what its output means: "clean", "noise" or "velocity".
    """

    representation: Representation
    schedule: diffusion.Schedule
    unet: UNet
    target: diffusion.Target = "noise"

    def __call__(
        self, noisy: Float[Array, "b h w 6"], rainy: Float[Array, "b h w 3"], t: Float[Array, " b"]
    ) -> Prediction:
        """Predicts the mean of the clean state; see `ImageConsistent`."""
        alpha = self.schedule.alpha(t)[:, None, None, None]
        sigma = self.schedule.sigma(t)[:, None, None, None]
        pictures = jnp.concatenate([noisy, spectra.condition(rainy)], axis=-1)
        output: Float[Array, "b h w 6"] = self.unet(
            pictures, level_features(diffusion.log_snr(self.schedule, t))
        )
        state = diffusion.to_clean(output, noisy, alpha, sigma, self.target)
        photo = self.representation.decode(state, rainy)
        return Prediction(state, photo, output)
