"""The denoiser: joins representation and network, (noisy state, rainy photo, time) -> clean state.

Two ways to predict:

* `direct`, the original recipe: the UNet looks at the noisy state beside the condition as if the
  spectrum were a picture, and says x, eps or v of the state.
* `image_consistent`: the UNet sees and says photos, and what it says is encoded again. Whatever it
  says is then the state of a real photo; a magnitude that fits no phase cannot be said.

The image-consistent network says what to add to a first guess b, which is right already where
nothing is left to learn (preconditioning, after Karras et al. 2022, section 5):

    b = e + k (d - [y + alpha (e - y)]),    k = alpha v / (alpha^2 v + sigma^2),    v = s^2 / n^2,

with e an earlier estimate of the clean photo (at first, the rainy photo y), d = decode(z_t) the
photo that the noisy state shows, in brackets what it would show of e, s how wrong e is expected to
be at each pixel, and n the strength of what noise of deviation 1 decodes to: Kalman's gain, which
leaves 1 - alpha k of the error's variance. Where the first estimate is sure, what the state shows
is noise, and draws do not differ there. At t = 1 the state shows nothing and b = e.
"""

from __future__ import annotations

import typing
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from fftdiff_jax.config import Config
from fftdiff_jax.errors import UserError
from fftdiff_jax.method import diffusion, error_model, representations, spectra
from fftdiff_jax.method.spectra import CHANNELS
from fftdiff_jax.method.unet import Output, UNet

PREDICTIONS = ("image_consistent", "direct")
# v of a crop's or tile's mean: rain's veil is its strongest part by far, and most easily taken off.
# Measured on Rain800's train split, where v at all other frequencies is 0.2 to 0.3 on average.
TONE_SHARE = 0.03
RAIN_SHARE = 0.25  # v where the rainy photo itself is the estimate: no self-conditioning


class Prediction(NamedTuple):
    """What a denoiser says of one noisy state."""

    state: Float[Array, "b h w 6"]  # the clean state
    photo: Float[Array, "b h w 3"]  # the clean photo that it decodes to, not clipped
    output: Float[Array, "b h w c"]  # what the network itself said: a photo, or the target
    log_deviation: Float[Array, "b h w 1"]  # of the photo's error, and
    colour: Float[Array, "b n"]  # its spectrum: see error_model.py


class Denoiser(nn.Module):
    """(noisy state, rainy photo, t, last estimate) -> clean state and photo.

    Attributes:
      config: the experiment; its representation, model and diffusion parts are used.
    """

    config: Config

    def setup(self) -> None:
        """Builds the parts that the configuration names."""
        model = self.config.model
        require_prediction(model.prediction)
        self.representation = representations.make_representation(self.config.representation)
        self.schedule = diffusion.make_schedule(self.config.diffusion.schedule)
        self.unet = UNet(
            channels=spectra.CHANNELS if model.prediction == "direct" else 3,
            colour_numbers=error_model.COLOUR_NUMBERS,
            fold=model.fold,
            widths=model.widths,
            blocks=model.blocks,
            dtype=jnp.dtype(model.dtype),
        )

    def __call__(
        self,
        noisy: Float[Array, "b h w 6"],
        rainy: Float[Array, "b h w 3"],
        t: Float[Array, " b"],
        estimate: Float[Array, "b h w 3"],
        deviation: Float[Array, "b h w 1"],
        keep_condition: Bool[Array, " b"] | None = None,
        mirror: bool = False,
    ) -> Prediction:
        """Predicts the clean state.

        Args:
          noisy: z_t.
          rainy: the rainy photo, in [0, 1].
          t: time of each example, in [0, 1].
          estimate: the clean photo as an earlier step saw it; the rainy photo where there is none.
          deviation: of the estimate's error, as that step said it; of no meaning at t = 1.
          keep_condition: False hides the rainy photo from the network (for guidance).
          mirror: the network also looks at everything mirrored left to right, and the mean of both
            answers counts, in twice the time (self-ensemble: Timofte, Rothe and Van Gool 2016).
        """
        alpha = self.schedule.alpha(t)[:, None, None, None]
        sigma = self.schedule.sigma(t)[:, None, None, None]
        level = diffusion.log_snr(self.schedule, t)
        if self.config.model.prediction == "direct":
            return self._direct(noisy, rainy, alpha, sigma, level, keep_condition)
        # Wild states decode to wild photos; a factor of 2 keeps all that could be a photo.
        decoded = jnp.clip(self.representation.decode(noisy, rainy), -2.0, 3.0)
        if self.config.model.self_conditioning:
            share = self._error_share(deviation, rainy)
        else:
            estimate, share = rainy, jnp.full_like(deviation, RAIN_SHARE)
        news = decoded - rainy - alpha * (estimate - rainy)
        # At least what float32 tells from 0: 1 - alpha k, what is left, goes into a logarithm.
        noise_power = jnp.maximum(jnp.square(sigma), 1e-6)
        gain, tone_gain = (
            alpha * v / (jnp.square(alpha) * v + noise_power) for v in (share, TONE_SHARE)
        )
        left = noise_power / (jnp.square(alpha) * share + noise_power)
        tone = jnp.mean(news, axis=(1, 2), keepdims=True)
        guess = estimate + gain * (news - tone) + tone_gain * tone
        seen = [guess, _hide(rainy, keep_condition)]
        if self.config.model.self_conditioning:
            seen.append(estimate)
        # Centred on 0. alpha says how much the noisy photo shows: at t = 1 as little as none would.
        pictures = jnp.concatenate(seen, axis=-1) - 0.5
        said = self._look(pictures, level, alpha[:, 0, 0, 0], mirror)
        photo = guess + said.picture
        state = self.representation.encode(photo, rainy)
        log_deviation = error_model.at_least(said.log_deviation + 0.5 * jnp.log(left))
        return Prediction(state, photo, photo, log_deviation, said.colour)

    def _look(
        self,
        pictures: Float[Array, "b h w c"],
        level: Float[Array, " b"],
        share: Float[Array, " b"],
        mirror: bool,
    ) -> Output:
        if not mirror:
            return self.unet(pictures, level, share)
        twice = jnp.concatenate([pictures, pictures[:, :, ::-1]])
        said = self.unet(twice, jnp.tile(level, 2), jnp.tile(share, 2))
        (one, other), (log_one, log_other) = (jnp.split(x, 2) for x in said[:2])
        return Output(
            (one + other[:, :, ::-1]) / 2,
            (log_one + log_other[:, :, ::-1]) / 2,
            said.colour[: len(level)],
        )

    def _error_share(
        self, deviation: Float[Array, "b h w 1"], rainy: Float[Array, "b h w 3"]
    ) -> Float[Array, "b h w 1"]:
        """v: the estimate's error over the noise's strength in pixels, their mean left out."""
        height, width = rainy.shape[1:3]
        waves = jnp.asarray(spectra.radial_frequency(height, width) > 0, jnp.float32)
        power = jnp.square(self.representation.strength(rainy)) * waves
        # Parseval: the mean over frequencies is the mean over pixels.
        noise = jnp.mean(power, axis=(1, 2, 3), keepdims=True)
        # Of flat crops the rainy spectrum is so weak that noise decodes to next to nothing, and so
        # does news of the clean photo: there the state is no linear measurement of it.
        return jnp.minimum(jnp.square(deviation) / jnp.maximum(noise, 1e-8), 1.0)

    def _direct(self, noisy, rainy, alpha, sigma, level, keep_condition) -> Prediction:
        seen = _hide(spectra.condition(rainy), keep_condition)
        said = self.unet(jnp.concatenate([noisy, seen], axis=-1), level, jnp.ones_like(level))
        target = self.config.diffusion.target
        state = diffusion.to_clean(said.picture, noisy, alpha, sigma, target)
        return Prediction(
            state,
            self.representation.decode(state, rainy),
            said.picture,
            said.log_deviation,
            said.colour,
        )


def require_prediction(name: str) -> None:
    """Raises `UserError` unless `name` is a way of predicting."""
    if name not in PREDICTIONS:
        raise UserError(f"model.prediction is {name!r}; known: {', '.join(PREDICTIONS)}")


def predict(
    config: Config,
    params: PyTree,
    noisy: Float[Array, "b h w 6"],
    rainy: Float[Array, "b h w 3"],
    t: Float[Array, " b"],
    estimate: Float[Array, "b h w 3"],
    deviation: Float[Array, "b h w 1"],
    keep_condition: Bool[Array, " b"] | None = None,
    mirror: bool = False,
) -> Prediction:
    """Applies the denoiser that `config` describes with these parameters; see `Denoiser`."""
    prediction = Denoiser(config).apply(
        {"params": params}, noisy, rainy, t, estimate, deviation, keep_condition, mirror
    )
    return typing.cast(Prediction, prediction)


def _hide(
    picture: Float[Array, "b h w c"], keep: Bool[Array, " b"] | None
) -> Float[Array, "b h w c"]:
    return picture if keep is None else jnp.where(keep[:, None, None, None], picture, 0.0)


def initial_params(config: Config, seed: int) -> PyTree:
    """Fresh float32 parameters; they do not depend on the crop size."""
    side = 4 * config.model.fold * 2 ** (len(config.model.widths) - 1)
    photo = jnp.zeros((1, side, side, 3))
    state = jnp.zeros((1, side, side, CHANNELS))
    init = jax.jit(Denoiser(config).init)
    return init(jax.random.key(seed), state, photo, jnp.ones(1), photo, photo[..., :1])["params"]


def abstract_params(config: Config) -> PyTree:
    """Shapes and types of the parameters, without computing them."""
    return jax.eval_shape(lambda: initial_params(config, 0))
