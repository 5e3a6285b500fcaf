"""Photos as spectra, and the difference of two photos as a six-channel state.

A photo x (rows, columns, R G B, in [0, 1]) has the spectrum X = F x, an orthonormal, centred 2-D
Fourier transform. For a clean photo x and its rainy twin y, a *representation* writes the
difference of their spectra as six real channels, first three of magnitude, then three of phase:

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
from collections.abc import Sequence
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from fftdiff_jax.config import RepresentationConfig
from fftdiff_jax.errors import UserError

CHANNELS = 6  # of a state and of a condition: magnitude of R, G, B, then phase of R, G, B

# About what rounding to 8 bits adds to every magnitude: below it a magnitude says nothing.
MAGNITUDE_FLOOR = 1e-3
# signed_log counts magnitudes as an unnormalised FFT of a 64 x 64 crop would.
SIGNED_LOG_UNIT = 1 / 64
# Deviations left after the condition-aware division (the tails of a log and of an angle).
LEFT_OVER_MAGNITUDE, LEFT_OVER_PHASE = 1.3, 1.7
# No photo below a gigapixel changes a magnitude by more than this factor's log; it keeps exp()
# finite on wild states.
LARGEST_LOG = 20.0
# The deviation of X - Y over all frequencies of rainy pairs, for a state scaled by one constant.
COMPLEX_UNIT = 0.1
# Where strength is tabulated: cycles a pixel, octaves from 1/256 to 1/2.
KNOT_FREQUENCIES = tuple(2.0**-k for k in range(8, 0, -1))
# Rain800's training pairs; a run measures its own (`measure_rain_spectrum`).
DEFAULT_RAIN_SPECTRUM = (0.064, 1.8, 0.87, 0.49, 0.32, 0.216, 0.131, 0.061, 0.03)


def to_spectrum(photo: Float[Array, "*b h w c"]) -> Complex[Array, "*b h w c"]:
    """Orthonormal 2-D FFT of every channel, zero frequency in the centre (h//2, w//2)."""
    return jnp.fft.fftshift(jnp.fft.fft2(photo, axes=(-3, -2), norm="ortho"), axes=(-3, -2))


def to_photo(spectrum: Complex[Array, "*b h w c"]) -> Float[Array, "*b h w c"]:
    """Inverse of `to_spectrum`; the imaginary part, zero for a photo's spectrum, is dropped."""
    shifted = jnp.fft.ifftshift(spectrum, axes=(-3, -2))
    return jnp.fft.ifft2(shifted, axes=(-3, -2), norm="ortho").real


def magnitude_and_phase(
    spectrum: Complex[Array, "*b h w c"],
) -> tuple[Float[Array, "*b h w c"], Float[Array, "*b h w c"]]:
    """|X| and arg X in (-pi, pi]; the phase of 0 is 0, and both have finite gradients there."""
    real, imag = spectrum.real, spectrum.imag
    power = jnp.square(real) + jnp.square(imag)  # no photo's is beyond float32
    empty = power < 1e-24
    real, imag = jnp.where(empty, 1.0, real), jnp.where(empty, 0.0, imag)
    return jnp.where(empty, 0.0, jnp.sqrt(jnp.where(empty, 1.0, power))), angle(imag, real)


@jax.custom_jvp
def angle(imag: Float[Array, "*d"], real: Float[Array, "*d"]) -> Float[Array, "*d"]:
    """arg(real + i imag) in (-pi, pi], to 3e-7; of 0 it is 0.

    Moshier's polynomial (Cephes, atanf) in operations that vectorise: on a CPU XLA's own atan2
    takes ten times as long (docs/benchmarks.md).
    """
    x, y = jnp.abs(real), jnp.abs(imag)
    steep = y > x
    ratio = jnp.where(steep, x, y) / jnp.maximum(jnp.maximum(x, y), 1e-30)
    beyond = ratio > 0.41421356  # tan(pi/8): there, pi/4 + atan((q - 1)/(q + 1))
    q = jnp.where(beyond, (ratio - 1) / (ratio + 1), ratio)
    z = q * q
    series = (((8.05374449538e-2 * z - 1.38776856032e-1) * z + 1.99777106478e-1) * z) * z * q
    turn = jnp.where(beyond, math.pi / 4, 0.0) + (q - 3.33329491539e-1 * z * q + series)
    turn = jnp.where(steep, math.pi / 2 - turn, turn)
    turn = jnp.where(real < 0, math.pi - turn, turn)
    return jnp.where(imag < 0, -turn, turn)


@angle.defjvp
def _angle_jvp(primals, tangents):
    (imag, real), (d_imag, d_real) = primals, tangents
    power = jnp.maximum(jnp.square(real) + jnp.square(imag), 1e-30)
    return angle(imag, real), (real * d_imag - imag * d_real) / power


def join(magnitudes: Float[Array, "*b h w 3"], phases: Float[Array, "*b h w 3"]) -> Array:
    """Six channels. XLA would else compute both halves number by number, as it joins them."""
    return jnp.concatenate(jax.lax.optimization_barrier((magnitudes, phases)), axis=-1)


def radial_frequency(height: int, width: int) -> Float[np.ndarray, "h w 1"]:
    """Distance from the centre of a centred spectrum, in cycles a pixel (0 to 0.71)."""
    rows = np.fft.fftshift(np.fft.fftfreq(height))[:, None]
    columns = np.fft.fftshift(np.fft.fftfreq(width))[None, :]
    return np.sqrt(rows**2 + columns**2).astype(np.float32)[..., None]


def rain_strength(
    rain_spectrum: Sequence[float], height: int, width: int
) -> Float[np.ndarray, "h w 1"]:
    """rho(f) at every frequency of a photo: the table's power laws, joined.

    They are carried on below the table; above it, in a spectrum's corners, rho stays what it is.

    `rain_spectrum` holds the constant term in units of sqrt(pixels), which is how a uniform veil
    grows with the photo, then rho at `KNOT_FREQUENCIES`. Any photo size reads the same table.
    """
    frequency = radial_frequency(height, width)
    knots = np.log(np.asarray(rain_spectrum[1:]))
    at = np.log(np.maximum(frequency, 1e-9))
    lowest, spacing = math.log(KNOT_FREQUENCIES[0]), math.log(2)
    strength = np.exp(np.interp(at, np.log(KNOT_FREQUENCIES), knots))
    slope = (knots[1] - knots[0]) / spacing
    strength = np.where(at < lowest, np.exp(knots[0] + slope * (at - lowest)), strength)
    constant = rain_spectrum[0] * math.sqrt(height * width)
    return np.where(frequency == 0, constant, strength).astype(np.float32)


def measure_rain_spectrum(
    clean: Float[Array | np.ndarray, "n h w 3"], rainy: Float[Array | np.ndarray, "n h w 3"]
) -> tuple[float, ...]:
    """Root mean square of |X - Y| over pairs, tabulated for `rain_strength`.

    Knots below the crops' own lowest frequency continue the power law of the two knots above.
    """
    height, width = clean.shape[-3:-1]
    power = np.asarray(
        jnp.mean(jnp.square(jnp.abs(to_spectrum(jnp.asarray(clean - rainy)))), axis=(0, -1))
    )
    frequency = radial_frequency(height, width)[..., 0]
    constant = math.sqrt(float(power[frequency == 0][0]) / (height * width))
    octave = np.log2(np.maximum(frequency, 1e-9))
    knots = []
    for knot in KNOT_FREQUENCIES:
        weight = np.clip(1 - np.abs(octave - math.log2(knot)), 0, None) * (frequency > 0)
        total = weight.sum()
        knots.append(math.sqrt(float((weight * power).sum() / total)) if total > 1 else math.nan)
    first = next(i for i, value in enumerate(knots) if not math.isnan(value))
    ratio = knots[first] / max(knots[first + 1], 1e-6)
    for i in range(first - 1, -1, -1):
        knots[i] = knots[i + 1] * max(ratio, 1.0)
    # A floor keeps tau defined on pairs that hardly differ.
    return tuple(round(max(value, MAGNITUDE_FLOOR), 6) for value in (constant, *knots))


def unit(spectrum: Complex[Array, "*b h w c"]) -> Complex[Array, "*b h w c"]:
    """X/|X|, and 1 where X is 0: the rotation that `decode` undoes."""
    magnitude, _ = magnitude_and_phase(spectrum)
    empty = magnitude == 0
    return jnp.where(empty, 1.0, spectrum / jnp.where(empty, 1.0, magnitude))


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
        """The clean photo that the state says, given the rainy one."""
        ...

    def strength(self, rainy: Float[Array, "*b h w 3"]) -> Float[Array, "*b h w 3"]:
        """How strong what noise of deviation 1 decodes to is at each frequency, to first order.

        The root mean square of the change of the spectrum, for `noises.photo_noise` in the state.
        """
        ...


def condition(rainy: Float[Array, "*b h w 3"]) -> Float[Array, "*b h w 6"]:
    """The rainy photo's own log-magnitude and phase, each scaled to [-1, 1]."""
    height, width = rainy.shape[-3:-1]
    magnitude, phase = magnitude_and_phase(to_spectrum(rainy))
    low = math.log(MAGNITUDE_FLOOR)
    high = math.log(math.sqrt(height * width) + MAGNITUDE_FLOOR)  # a white photo's constant term
    level = 2 * (jnp.log(magnitude + MAGNITUDE_FLOOR) - low) / (high - low) - 1
    return join(level, phase / math.pi)


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

    def strength(self, rainy: Float[Array, "*b h w 3"]) -> Float[Array, "*b h w 3"]:
        """See `Representation`."""
        magnitude = magnitude_and_phase(to_spectrum(rainy))[0]
        scale, phase_scale = self._scales(magnitude)
        return jnp.hypot((magnitude + MAGNITUDE_FLOOR) * scale, magnitude * phase_scale)

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

    def strength(self, rainy: Float[Array, "*b h w 3"]) -> Float[Array, "*b h w 3"]:
        """See `Representation`."""
        magnitude = magnitude_and_phase(to_spectrum(rainy))[0]
        scale, phase_scale = self._scales(magnitude)
        return jnp.hypot(SIGNED_LOG_UNIT * scale, magnitude * phase_scale)

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

    def strength(self, rainy: Float[Array, "*b h w 3"]) -> Float[Array, "*b h w 3"]:
        """See `Representation`; real and imaginary part have deviation 1 each."""
        return jnp.broadcast_to(math.sqrt(2) * self._scale(to_spectrum(rainy)), rainy.shape)

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


def make_representation(config: RepresentationConfig) -> Representation:
    """The representation that a configuration names.

    Raises:
      UserError: an unknown name, phase or normalisation.
    """
    phases = {"wrapped": True, "raw": False}
    if config.phase not in phases:
        raise UserError(f"representation.phase is {config.phase!r}; known: {', '.join(phases)}")
    tables = {
        "constant": (),
        "condition_aware": config.rain_spectrum or DEFAULT_RAIN_SPECTRUM,
    }
    if config.normalisation not in tables:
        known = ", ".join(tables)
        raise UserError(f"representation.normalisation is {config.normalisation!r}; known: {known}")
    wrapped, table = phases[config.phase], tables[config.normalisation]
    registry: dict[str, Representation] = {
        "log_ratio": LogRatio(wrapped, table),
        "signed_log": SignedLog(wrapped, table),
        "complex": ComplexDifference(table),
    }
    if config.name not in registry:
        known = ", ".join(registry)
        raise UserError(f"representation.name is {config.name!r}; known: {known}")
    return registry[config.name]
