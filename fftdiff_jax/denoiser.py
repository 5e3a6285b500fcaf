"""The denoiser: joins representation and network, (noisy state, rainy photo, time) -> clean state.

Two ways to predict:

* `direct`, the original recipe: the UNet looks at the noisy state beside the condition as if the
  spectrum were a picture, and says x, eps or v of the state.
* `image_consistent`: the noisy state is decoded to a photo, the UNet predicts the clean photo from
  it and from the rainy one, and that photo is encoded again. Whatever the network says is then the
  state of a real photo; a magnitude that fits no phase cannot be said.

How far the decoded noisy photo can be trusted is alpha, so the UNet sees y + alpha (decoded - y).
"""

from __future__ import annotations

import typing
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from fftdiff_jax import diffusion, spectra
from fftdiff_jax.config import Config
from fftdiff_jax.errors import UserError
from fftdiff_jax.unet import UNet

PREDICTIONS = ("image_consistent", "direct")


class Prediction(NamedTuple):
    """What a denoiser says of one noisy state."""

    state: Float[Array, "b h w 6"]  # the clean state
    photo: Float[Array, "b h w 3"]  # the clean photo that it decodes to, not clipped
    output: Float[Array, "b h w c"]  # what the network itself said: a photo, or the target


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
        self.representation = spectra.make_representation(self.config.representation)
        self.schedule = diffusion.make_schedule(self.config.diffusion.schedule)
        self.unet = UNet(
            channels=spectra.CHANNELS if model.prediction == "direct" else 3,
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
        keep_condition: Bool[Array, " b"] | None = None,
    ) -> Prediction:
        """Predicts the clean state.

        Args:
          noisy: z_t.
          rainy: the rainy photo, in [0, 1].
          t: time of each example, in [0, 1].
          estimate: the clean photo as the last step saw it; the rainy photo where there is none.
          keep_condition: False hides the rainy photo from the network (for guidance).
        """
        alpha = self.schedule.alpha(t)[:, None, None, None]
        sigma = self.schedule.sigma(t)[:, None, None, None]
        level = diffusion.log_snr(self.schedule, t)
        if self.config.model.prediction == "direct":
            return self._direct(noisy, rainy, alpha, sigma, level, keep_condition)
        return self._image_consistent(noisy, rainy, alpha, level, estimate, keep_condition)

    def _direct(self, noisy, rainy, alpha, sigma, level, keep_condition) -> Prediction:
        seen = _hide(spectra.condition(rainy), keep_condition)
        output = self.unet(jnp.concatenate([noisy, seen], axis=-1), level)
        target = self.config.diffusion.target
        state = diffusion.to_clean(output, noisy, alpha, sigma, target)
        return Prediction(state, self.representation.decode(state, rainy), output)

    def _image_consistent(self, noisy, rainy, alpha, level, estimate, keep_condition) -> Prediction:
        decoded = self.representation.decode(noisy, rainy)
        # Wild states decode to wild photos; a factor of 2 keeps all that could be a photo.
        trusted = rainy + alpha * (jnp.clip(decoded, -2.0, 3.0) - rainy)
        seen = [trusted, _hide(rainy, keep_condition)]
        if self.config.model.self_conditioning:
            seen.append(estimate)
        # Centred on 0; the network says what to add to the rainy photo.
        pictures = jnp.concatenate(seen, axis=-1) - 0.5
        photo = rainy + self.unet(pictures, level)
        return Prediction(self.representation.encode(photo, rainy), photo, photo)


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
    keep_condition: Bool[Array, " b"] | None = None,
) -> Prediction:
    """Applies the denoiser that `config` describes with these parameters; see `Denoiser`."""
    prediction = Denoiser(config).apply(
        {"params": params}, noisy, rainy, t, estimate, keep_condition
    )
    return typing.cast(Prediction, prediction)


def _hide(
    picture: Float[Array, "b h w c"], keep: Bool[Array, " b"] | None
) -> Float[Array, "b h w c"]:
    return picture if keep is None else jnp.where(keep[:, None, None, None], picture, 0.0)
