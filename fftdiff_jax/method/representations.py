"""The difference of two photos' spectra as a six-channel state, and the way back.

For a clean photo x and its rainy twin y, with the spectra X and Y (spectra.py), a *representation*
writes the difference as six real channels, first three of magnitude, then three of phase:

    log_ratio   m = log (|X| + e)/(|Y| + e)                   p = arg X - arg Y
    signed_log  m = sign(|X| - |Y|) log(1 + ||X| - |Y||/d)    p = arg X - arg Y
    complex     m = Re (X - Y) conj(Y)/|Y|                    p = Im (X - Y) conj(Y)/|Y|

and divides them by a scale that depends on nothing but the rainy photo, so that the way back

    state -> unscale -> add to (or multiply) the rainy spectrum -> inverse FFT -> clean photo

is exact. The scale is either one constant or *condition-aware*: with rho(f) the strength of rain at
radial frequency f, the relative change that rain of typical strength makes at a frequency is

    tau(f) = rho(f) / sqrt(|Y(f)|^2 + rho(f)^2),

so that a state of noise with deviation 1 decodes to the rainy photo plus noise as strong as rain.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from fftdiff_jax.config import RepresentationConfig
from fftdiff_jax.method.rain_spectrum import DEFAULT_RAIN_SPECTRUM, rain_strength
from fftdiff_jax.method.spectra import (
    MAGNITUDE_FLOOR,
    join,
    magnitude_and_phase,
    to_photo,
    to_spectrum,
    unit,
)

# signed_log counts magnitudes as an unnormalised FFT of a 64 x 64 crop would.
SIGNED_LOG_UNIT = 1 / 64

# Standard deviations left after the condition-aware division (the tails of a log and of an angle).
LEFT_OVER_MAGNITUDE, LEFT_OVER_PHASE = 1.3, 1.7

# No photo below a gigapixel changes a magnitude by more than this factor's log; it keeps exp()
# finite on wild states.
LARGEST_LOG = 20.0

# The std of X - Y over all frequencies of rainy pairs, for a state scaled by one constant.
COMPLEX_UNIT = 0.1


def _turn(phase: Float[Array, "*b h w 3"]) -> Complex[Array, "*b h w 3"]:
    """e^(i p)."""
    return jax.lax.complex(jnp.cos(phase), jnp.sin(phase))


class Representation(Protocol):
    """A pair of maps between (clean, rainy) and (state, condition).

    For every photo size, odd sizes included, `decode(encode(clean, rainy), rainy)` is `clean` to
    float32 accuracy. Photos are float32 in [0, 1]; `decode` does not clip.
    """

    def encode(
        self, clean: Float[Array, "*b h w 3"], rainy: Float[Array, "*b h w 3"]
    ) -> Float[Array, "*b h w 6"]:
        """The state: the scaled spectral difference, clean minus rainy."""
        ...

    def decode(
        self, state: Float[Array, "*b h w 6"], rainy: Float[Array, "*b h w 3"]
    ) -> Float[Array, "*b h w 3"]:
        """The clean photo that the state stands for, given the rainy one."""
        ...


@dataclasses.dataclass(frozen=True)
class LogRatio:
    """Magnitudes as the log of their ratio, phases as their difference.

    Attributes:
      wrapped: phase differences in (-pi, pi]; otherwise raw, in (-2 pi, 2 pi).
      rain_spectrum: the table of `rain_strength`; empty: one constant for all frequencies.
    """

    wrapped: bool = True
    rain_spectrum: tuple[float, ...] = ()

    def encode(
        self, clean: Float[Array, "*b h w 3"], rainy: Float[Array, "*b h w 3"]
    ) -> Float[Array, "*b h w 6"]:
        """See `Representation`."""
        source, target = to_spectrum(rainy), to_spectrum(clean)
        before, after = magnitude_and_phase(source)[0], magnitude_and_phase(target)[0]
        ratio = jnp.log((after + MAGNITUDE_FLOOR) / (before + MAGNITUDE_FLOOR))
        scale, phase_scale = self._scales(before)
        phase = _phase_difference(target, source, self.wrapped)
        return join(ratio / scale, phase / phase_scale)

    def decode(
        self, state: Float[Array, "*b h w 6"], rainy: Float[Array, "*b h w 3"]
    ) -> Float[Array, "*b h w 3"]:
        """See `Representation`."""
        source = to_spectrum(rainy)
        before = magnitude_and_phase(source)[0]
        scale, phase_scale = self._scales(before)
        ratio = jnp.clip(state[..., :3] * scale, -LARGEST_LOG, LARGEST_LOG)
        after = (before + MAGNITUDE_FLOOR) * jnp.exp(ratio) - MAGNITUDE_FLOOR
        return to_photo(unit(source) * after * _turn(state[..., 3:] * phase_scale))

    def _scales(
        self, magnitude: Float[Array, "*b h w 3"]
    ) -> tuple[Float[Array, ...], Float[Array, ...]]:
        if not self.rain_spectrum:
            return jnp.asarray(1.0), jnp.asarray(math.pi * (1 if self.wrapped else 2))
        relative = _relative_rain(magnitude, self.rain_spectrum)
        return relative * LEFT_OVER_MAGNITUDE, relative * LEFT_OVER_PHASE


@dataclasses.dataclass(frozen=True)
class SignedLog:
    """Magnitudes as the signed log of their raw difference, phases as their difference.

    With one constant the magnitude channels lie in [-1, 1] for any pair of photos in [0, 1]: no
    coefficient of a photo exceeds sqrt(h w). This is the original project's state.
    """

    wrapped: bool = False
    rain_spectrum: tuple[float, ...] = ()

    def encode(
        self, clean: Float[Array, "*b h w 3"], rainy: Float[Array, "*b h w 3"]
    ) -> Float[Array, "*b h w 6"]:
        """See `Representation`."""
        source, target = to_spectrum(rainy), to_spectrum(clean)
        before, after = magnitude_and_phase(source)[0], magnitude_and_phase(target)[0]
        scale, phase_scale = self._scales(before)
        change = after - before
        level = jnp.sign(change) * jnp.log1p(jnp.abs(change) / SIGNED_LOG_UNIT)
        phase = _phase_difference(target, source, self.wrapped)
        return join(level / scale, phase / phase_scale)

    def decode(
        self, state: Float[Array, "*b h w 6"], rainy: Float[Array, "*b h w 3"]
    ) -> Float[Array, "*b h w 3"]:
        """See `Representation`."""
        source = to_spectrum(rainy)
        before = magnitude_and_phase(source)[0]
        scale, phase_scale = self._scales(before)
        level = jnp.clip(state[..., :3] * scale, -LARGEST_LOG, LARGEST_LOG)
        change = jnp.sign(level) * jnp.expm1(jnp.abs(level)) * SIGNED_LOG_UNIT
        after = before + change
        return to_photo(unit(source) * after * _turn(state[..., 3:] * phase_scale))

    def _scales(
        self, magnitude: Float[Array, "*b h w 3"]
    ) -> tuple[Float[Array, ...], Float[Array, ...]]:
        height, width = magnitude.shape[-3:-1]
        if not self.rain_spectrum:
            largest = math.log1p(math.sqrt(height * width) / SIGNED_LOG_UNIT)
            return jnp.asarray(largest), jnp.asarray(math.pi * (1 if self.wrapped else 2))
        rain = jnp.asarray(rain_strength(self.rain_spectrum, height, width))
        relative = _relative_rain(magnitude, self.rain_spectrum)
        return jnp.log1p(rain / SIGNED_LOG_UNIT), relative * LEFT_OVER_PHASE


@dataclasses.dataclass(frozen=True)
class ComplexDifference:
    """X - Y turned by the rainy phase: the part along Y, then the part across it.

    To first order this is what the condition-aware log ratio becomes where the photo is strong; it
    is linear in the clean photo.
    """

    rain_spectrum: tuple[float, ...] = ()

    def encode(
        self, clean: Float[Array, "*b h w 3"], rainy: Float[Array, "*b h w 3"]
    ) -> Float[Array, "*b h w 6"]:
        """See `Representation`."""
        source, target = to_spectrum(rainy), to_spectrum(clean)
        turned = (target - source) * jnp.conj(unit(source)) / self._scale(source)
        return join(turned.real, turned.imag)

    def decode(
        self, state: Float[Array, "*b h w 6"], rainy: Float[Array, "*b h w 3"]
    ) -> Float[Array, "*b h w 3"]:
        """See `Representation`."""
        source = to_spectrum(rainy)
        turned = jax.lax.complex(state[..., :3], state[..., 3:]) * self._scale(source)
        return to_photo(source + turned * unit(source))

    def _scale(self, spectrum: Complex[Array, "*b h w 3"]) -> Float[Array, "h w 1"]:
        height, width = spectrum.shape[-3:-1]
        if not self.rain_spectrum:
            return jnp.full((height, width, 1), COMPLEX_UNIT)
        return jnp.asarray(rain_strength(self.rain_spectrum, height, width))


def _relative_rain(
    magnitude: Float[Array, "*b h w 3"], rain_spectrum: tuple[float, ...]
) -> Float[Array, "*b h w 3"]:
    """tau = rho / sqrt(|Y|^2 + rho^2), in (0, 1]."""
    height, width = magnitude.shape[-3:-1]
    rain = jnp.asarray(rain_strength(rain_spectrum, height, width))
    return rain * jax.lax.rsqrt(jnp.square(magnitude) + jnp.square(rain))


def _phase_difference(
    target: Complex[Array, "*b h w 3"], source: Complex[Array, "*b h w 3"], wrapped: bool
) -> Float[Array, "*b h w 3"]:
    if wrapped:
        return magnitude_and_phase(target * jnp.conj(unit(source)))[1]
    return magnitude_and_phase(target)[1] - magnitude_and_phase(source)[1]


REPRESENTATIONS: dict[str, Callable[[bool, tuple[float, ...]], Representation]] = {
    "log_ratio": LogRatio,
    "signed_log": SignedLog,
    "complex": lambda wrapped, table: ComplexDifference(table),
}


def make_representation(config: RepresentationConfig) -> Representation:
    """The representation that a configuration names."""
    table: tuple[float, ...] = ()
    if config.normalisation == "condition_aware":
        table = config.rain_spectrum or DEFAULT_RAIN_SPECTRUM
    return REPRESENTATIONS[config.name](config.phase == "wrapped", table)
