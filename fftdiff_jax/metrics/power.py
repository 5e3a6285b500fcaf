"""The power of a spectrum, in NumPy: JAX would compile an FFT for every size of photo."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def spectral_power(photo: Float[np.ndarray, "*n h w c"]) -> Float[np.ndarray, "*n h w"]:
    """|F x|^2 of the orthonormal, centred spectrum, the mean over channels."""
    count = photo.shape[-1]  # a channel at a time, for large photos
    power = sum(np.square(np.abs(np.fft.fft2(photo[..., i], norm="ortho"))) for i in range(count))
    return np.fft.fftshift(power / count, axes=(-2, -1))
