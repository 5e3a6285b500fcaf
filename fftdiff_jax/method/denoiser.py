"""The denoiser: joins representation and network, (noisy state, rainy photo, t) -> clean state.

Two ways to predict:

* `Direct`, the original recipe: the UNet sees the noisy state beside the condition as if the
  spectrum were a picture, and outputs x, eps or v of the state.
* `ImageConsistent`: the UNet sees and outputs photos, and its output is encoded again. Whatever it
  is, it is then the state of a real photo; a magnitude that fits no phase cannot come out.

The image-consistent network outputs what to add to a first guess b, which is right already where
nothing is left to learn (preconditioning, after Karras et al. 2022, section 5):

    b = e + k (d - [y + alpha (e - y)]),    k = alpha v / (alpha^2 v + sigma^2),    v = s^2 / n^2,

with e an earlier estimate of the clean photo (at first, the rainy photo y), d = decode(z_t) the
photo that the noisy state shows, in brackets what it would show of e, s the standard deviation of
e's error at each pixel, and n the strength of what noise of standard deviation 1 decodes to:
Kalman's gain, which leaves 1 - alpha k of the error's variance. d - [...] is the innovation. Where
the first estimate is sure, what the state shows is noise, and draws do not differ there. At t = 1
the state shows nothing and b = e.
"""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from fftdiff_jax.errors import UserError
from fftdiff_jax.method import diffusion, error_model, spectra
from fftdiff_jax.method.representations import Representation
from fftdiff_jax.method.unet import Output, UNet

# v of a crop's or tile's mean: rain's veil is its strongest part by far, and most easily taken off.
# Measured on Rain800's train split, where v at all other frequencies is 0.2 to 0.3 on average.
TONE_VARIANCE = 0.03
RAIN_VARIANCE = 0.25  # v where the rainy photo itself is the estimate: no self-conditioning


class Prediction(NamedTuple):
    """A denoiser's output for one noisy state."""

    state: Float[Array, "b h w 6"]  # the clean state
    photo: Float[Array, "b h w 3"]  # the clean photo that it decodes to, not clipped
    output: Float[Array, "b h w c"]  # the network's own: a photo, or the target
    log_std: Float[Array, "b h w 1"]  # of the photo's error, and
    error_spectrum: Float[Array, "b n"]  # its spectrum: see error_model.py


class ImageConsistent(nn.Module):
    """Predicts the clean photo, and encodes it.

    Attributes:
      representation: of the state.
      schedule: of the forward process.
      unet: from pictures to a photo.
      self_conditioning: an earlier estimate is a further input.
    """

    representation: Representation
    schedule: diffusion.Schedule
    unet: UNet
    self_conditioning: bool = True

    sees_photos = True

    def __call__(
        self,
        noisy: Float[Array, "b h w 6"],
        rainy: Float[Array, "b h w 3"],
        t: Float[Array, " b"],
        estimate: Float[Array, "b h w 3"],
        std: Float[Array, "b h w 1"],
        mirror: bool = False,
    ) -> Prediction:
        """Predicts the clean state.

        Args:
          noisy: z_t.
          rainy: the rainy photo y, in [0, 1].
          t: time of each example, in [0, 1].
          estimate: e, the clean photo of an earlier step; the rainy photo where there is none.
          std: s, of the estimate's error, as that step put it; of no meaning at t = 1.
          mirror: the network also sees everything mirrored left to right, and the mean of both
            outputs counts, in twice the time (self-ensemble: Timofte, Rothe and Van Gool 2016).
        """
        alpha = self.schedule.alpha(t)[:, None, None, None]
        sigma = self.schedule.sigma(t)[:, None, None, None]
        # Wild states decode to wild photos; a factor of 2 keeps all that could be a photo.
        decoded = jnp.clip(self.representation.decode(noisy, rainy), -2.0, 3.0)
        if self.self_conditioning:
            variance = self._relative_variance(std, rainy)
        else:
            estimate, variance = rainy, jnp.full_like(std, RAIN_VARIANCE)
        innovation = decoded - rainy - alpha * (estimate - rainy)
        tone = jnp.mean(innovation, axis=(1, 2), keepdims=True)
        # At least what float32 tells from 0: 1 - alpha k, what is left, goes into a logarithm.
        noise_power = jnp.maximum(jnp.square(sigma), 1e-6)
        gain, tone_gain = (
            alpha * v / (jnp.square(alpha) * v + noise_power) for v in (variance, TONE_VARIANCE)
        )
        left = noise_power / (jnp.square(alpha) * variance + noise_power)
        guess = estimate + gain * (innovation - tone) + tone_gain * tone
        seen = [guess, rainy, estimate] if self.self_conditioning else [guess, rainy]
        # Centred on 0. alpha is how much the noisy photo shows: at t = 1 as little as none would.
        pictures = jnp.concatenate(seen, axis=-1) - 0.5
        level = diffusion.log_snr(self.schedule, t)
        output = self._apply(pictures, level, alpha[:, 0, 0, 0], mirror)
        photo = guess + output.picture
        return Prediction(
            state=self.representation.encode(photo, rainy),
            photo=photo,
            output=photo,
            log_std=error_model.at_least(output.log_std + 0.5 * jnp.log(left)),
            error_spectrum=output.error_spectrum,
        )

    def _apply(
        self,
        pictures: Float[Array, "b h w c"],
        level: Float[Array, " b"],
        signal: Float[Array, " b"],
        mirror: bool,
    ) -> Output:
        if not mirror:
            return self.unet(pictures, level, signal)
        twice = jnp.concatenate([pictures, pictures[:, :, ::-1]])
        output = self.unet(twice, jnp.tile(level, 2), jnp.tile(signal, 2))
        (one, other), (log_one, log_other) = (jnp.split(x, 2) for x in output[:2])
        return Output(
            (one + other[:, :, ::-1]) / 2,
            (log_one + log_other[:, :, ::-1]) / 2,
            output.error_spectrum[: len(level)],
        )

    def _relative_variance(
        self, std: Float[Array, "b h w 1"], rainy: Float[Array, "b h w 3"]
    ) -> Float[Array, "b h w 1"]:
        """v: the estimate's error over the noise's strength in pixels, their mean left out."""
        height, width = rainy.shape[1:3]
        waves = jnp.asarray(spectra.radial_frequency(height, width) > 0, jnp.float32)
        power = jnp.square(self.representation.strength(rainy)) * waves
        # Parseval: the mean over frequencies is the mean over pixels.
        noise = jnp.mean(power, axis=(1, 2, 3), keepdims=True)
        # Of flat crops the rainy spectrum is so weak that noise decodes to next to nothing, and so
        # does the clean photo's difference: there the state is no linear measurement of it.
        return jnp.minimum(jnp.square(std) / jnp.maximum(noise, 1e-8), 1.0)


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

    sees_photos = False

    def __call__(
        self,
        noisy: Float[Array, "b h w 6"],
        rainy: Float[Array, "b h w 3"],
        t: Float[Array, " b"],
        estimate: Float[Array, "b h w 3"],
        std: Float[Array, "b h w 1"],
        mirror: bool = False,
    ) -> Prediction:
        """See `ImageConsistent`; neither an earlier estimate nor its error is looked at.

        Raises:
          UserError: a spectrum cannot be shown mirrored as a photo can.
        """
        del estimate, std
        if mirror:
            raise UserError("sampling.mirror wants a model that sees photos: image_consistent")
        alpha = self.schedule.alpha(t)[:, None, None, None]
        sigma = self.schedule.sigma(t)[:, None, None, None]
        level = diffusion.log_snr(self.schedule, t)
        pictures = jnp.concatenate([noisy, spectra.condition(rainy)], axis=-1)
        output = self.unet(pictures, level, jnp.ones_like(level))
        state = diffusion.to_clean(output.picture, noisy, alpha, sigma, self.target)
        photo = self.representation.decode(state, rainy)
        return Prediction(state, photo, output.picture, output.log_std, output.error_spectrum)


Denoiser = ImageConsistent | Direct
