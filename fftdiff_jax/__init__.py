"""Rain removal by diffusion over Fourier spectra, in JAX and Flax.

    from fftdiff_jax import Restorer

    restorer = Restorer.pretrained()
    clean = restorer(rainy)  # uint8 (h, w, 3) in, the same out

What stands here is imported when it is used: JAX takes seconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fftdiff_jax.config import Config
    from fftdiff_jax.restore.restorer import Restorer
else:

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name]), name)


__all__ = ["Config", "Restorer", "__version__"]
__version__ = "0.2.0"

_HOMES = {"Config": "fftdiff_jax.config", "Restorer": "fftdiff_jax.restore.restorer"}


def __dir__() -> list[str]:
    return list(__all__)
