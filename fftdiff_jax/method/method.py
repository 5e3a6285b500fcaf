"""The method as a whole: a configuration's choices, resolved once and passed on."""

from __future__ import annotations

import dataclasses
import functools
import typing

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from fftdiff_jax.config import Config
from fftdiff_jax.method import diffusion, error_model, spectra
from fftdiff_jax.method.denoiser import Denoiser, Direct, ImageConsistent, Prediction
from fftdiff_jax.method.noises import NOISES, Noise
from fftdiff_jax.method.representations import Representation, make_representation
from fftdiff_jax.method.unet import UNet


@dataclasses.dataclass(frozen=True)
class Method:
    """What is diffused, how it is noised, and who denoises it."""

    representation: Representation
    schedule: diffusion.Schedule
    noise: Noise
    denoiser: Denoiser

    @property
    def carries_photos(self) -> bool:
        """Whether a draw between two steps is a pair of photos, so that tiles can be blended.

        States of tiles cannot, for a spectrum belongs to its tile.
        """
        return self.noise.of_photos and self.denoiser.sees_photos

    @property
    def stride(self) -> int:
        """Pixels between neighbours at the network's coarsest resolution."""
        return self.denoiser.unet.stride

    def predict(
        self,
        params: PyTree,
        noisy: Float[Array, "b h w 6"],
        rainy: Float[Array, "b h w 3"],
        t: Float[Array, " b"],
        estimate: Float[Array, "b h w 3"],
        std: Float[Array, "b h w 1"],
        mirror: bool = False,
    ) -> Prediction:
        """Applies the denoiser with these parameters; see `ImageConsistent`."""
        prediction = self.denoiser.apply({"params": params}, noisy, rainy, t, estimate, std, mirror)
        return typing.cast(Prediction, prediction)

    def predict_first(
        self, params: PyTree, rainy: Float[Array, "b h w 3"], mirror: bool = False
    ) -> Prediction:
        """The first estimate of photos: t = 1, where the state shows nothing."""
        nothing = jnp.zeros((*rainy.shape[:-1], spectra.CHANNELS))
        std = jnp.zeros((*rainy.shape[:-1], 1))
        return self.predict(params, nothing, rainy, jnp.ones(len(rainy)), rainy, std, mirror)

    def init(self, key: PRNGKeyArray) -> PyTree:
        """Fresh float32 parameters; they do not depend on the size of photos."""
        side = 4 * self.stride
        photo = jnp.zeros((1, side, side, 3))
        state = jnp.zeros((1, side, side, spectra.CHANNELS))
        init = jax.jit(self.denoiser.init)
        return init(key, state, photo, jnp.ones(1), photo, photo[..., :1])["params"]

    def abstract_params(self) -> PyTree:
        """Shapes and types of the parameters, without computing them."""
        return jax.eval_shape(self.init, jax.random.key(0))


@functools.lru_cache(maxsize=64)
def make_method(config: Config) -> Method:
    """The method that a configuration describes."""
    representation = make_representation(config.representation)
    schedule = diffusion.SCHEDULES[config.diffusion.schedule]()
    model = config.model
    direct = model.prediction == "direct"
    unet = UNet(
        channels=spectra.CHANNELS if direct else 3,
        spectrum_numbers=error_model.SPECTRUM_NUMBERS,
        fold=model.fold,
        widths=model.widths,
        blocks=model.blocks,
        blocks_up=model.blocks_up,
        block=model.block,
        dtype=jnp.dtype(model.dtype),
    )
    denoiser: Denoiser
    if direct:
        denoiser = Direct(representation, schedule, unet, config.diffusion.target)
    else:
        denoiser = ImageConsistent(representation, schedule, unet, model.self_conditioning)
    return Method(representation, schedule, NOISES[config.diffusion.noise], denoiser)
