"""Photos as spectra: the Fourier transform, magnitude and phase, radial frequency.

A photo x (rows, columns, R G B, in [0, 1]) has the spectrum X = F x, an orthonormal, centred 2-D
Fourier transform. How the difference of two spectra becomes a state: representations.py.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

CHANNELS = 6  # of a state and of a condition: magnitude of R, G, B, then phase of R, G, B

# About what rounding to 8 bits adds to every magnitude: below it a magnitude says nothing.
MAGNITUDE_FLOOR = 1e-3


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


def unit(spectrum: Complex[Array, "*b h w c"]) -> Complex[Array, "*b h w c"]:
    """X/|X|, and 1 where X is 0: the rotation that `decode` undoes."""
    magnitude, _ = magnitude_and_phase(spectrum)
    empty = magnitude == 0
    return jnp.where(empty, 1.0, spectrum / jnp.where(empty, 1.0, magnitude))


def condition(rainy: Float[Array, "*b h w 3"]) -> Float[Array, "*b h w 6"]:
    """The rainy photo's own log-magnitude and phase, each scaled to [-1, 1]."""
    height, width = rainy.shape[-3:-1]
    magnitude, phase = magnitude_and_phase(to_spectrum(rainy))
    low = math.log(MAGNITUDE_FLOOR)
    high = math.log(math.sqrt(height * width) + MAGNITUDE_FLOOR)  # a white photo's constant term
    level = 2 * (jnp.log(magnitude + MAGNITUDE_FLOOR) - low) / (high - low) - 1
    return join(level, phase / math.pi)
