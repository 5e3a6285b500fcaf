"""The method as a whole: a configuration's choices, resolved once and passed on."""

from __future__ import annotations

import dataclasses
import functools
import typing

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from fftdiff_jax.config import Config
from fftdiff_jax.method import diffusion, spectra
from fftdiff_jax.method.denoiser import Direct, FirstEstimate, ImageConsistent, Prediction
from fftdiff_jax.method.noises import LATENT_NUMBERS, NOISES, Latent, Noise
from fftdiff_jax.method.representations import Representation, make_representation
from fftdiff_jax.method.unet import UNet


@dataclasses.dataclass(frozen=True)
class Method:
    """What is diffused, how it is noised, and who denoises it.

    Parameters are {"first": .., "denoiser": ..}, each only where there is such a network.
    """

    representation: Representation
    schedule: diffusion.Schedule
    noise: Noise
    first: FirstEstimate | None  # None: the denoiser goes by the rainy photo alone
    denoiser: ImageConsistent | Direct | None  # None: only the first estimate is trained

    @property
    def stride(self) -> int:
        """Pixels between neighbours at the network's coarsest resolution."""
        one = self.first or self.denoiser
        assert one is not None
        return one.unet.stride

    def estimate(
        self, params: PyTree, rainy: Float[Array, "b h w 3"], mirror: bool = False
    ) -> Float[Array, "b h w 3"]:
        """The first estimate; see `FirstEstimate`."""
        assert self.first is not None
        return typing.cast(Array, self.first.apply({"params": params["first"]}, rainy, mirror))

    def predict(
        self,
        params: PyTree,
        noisy: Float[Array, "b h w 6"],
        rainy: Float[Array, "b h w 3"],
        t: Float[Array, " b"],
        first: Float[Array, "b h w 3"],
        latent: Latent,
    ) -> Prediction:
        """The denoiser's answer; see `ImageConsistent`. `Direct` looks at neither of the last."""
        assert self.denoiser is not None
        direct = isinstance(self.denoiser, Direct)
        seen = (noisy, rainy, t) if direct else (noisy, rainy, t, first, latent)
        prediction = self.denoiser.apply({"params": params["denoiser"]}, *seen)
        return typing.cast(Prediction, prediction)

    def init(self, key: PRNGKeyArray) -> PyTree:
        """Fresh float32 parameters; they do not depend on the size of photos."""
        return jax.jit(self._init)(key)

    def _init(self, key: PRNGKeyArray) -> PyTree:
        side = 4 * self.stride
        photo = jnp.zeros((1, side, side, 3))
        state = jnp.zeros((1, side, side, spectra.CHANNELS))
        params = {}
        if self.first is not None:
            params["first"] = self.first.init(key, photo)["params"]
        if isinstance(self.denoiser, Direct):
            params["denoiser"] = self.denoiser.init(key, state, photo, jnp.ones(1))["params"]
        elif self.denoiser is not None:
            latent = Latent(jnp.zeros((1, LATENT_NUMBERS)), photo)
            key = jax.random.fold_in(key, 1)
            found = self.denoiser.init(key, state, photo, jnp.ones(1), photo, latent)
            params["denoiser"] = found["params"]
        return params

    def abstract_params(self) -> PyTree:
        """Shapes and types of the parameters, without computing them."""
        return jax.eval_shape(self.init, jax.random.key(0))


@functools.lru_cache(maxsize=64)
def make_method(config: Config) -> Method:
    """The method that a configuration describes."""
    representation = make_representation(config.representation)
    schedule = diffusion.SCHEDULES[config.diffusion.schedule]()
    noise = NOISES[config.diffusion.noise]
    model = config.model

    def unet(channels: int) -> UNet:
        return UNet(
            channels=channels,
            fold=model.fold,
            widths=model.widths,
            blocks=model.blocks,
            blocks_up=model.blocks_up,
            block=model.block,
            dtype=jnp.dtype(model.dtype),
        )

    if model.prediction == "direct":
        target = config.diffusion.target
        direct = Direct(representation, schedule, unet(spectra.CHANNELS), target)
        return Method(representation, schedule, noise, None, direct)
    denoiser = None
    if config.diffusion.draw_share > 0:
        denoiser = ImageConsistent(representation, schedule, unet(3))
    first = FirstEstimate(unet(3))
    return Method(representation, schedule, noise, first, denoiser)
