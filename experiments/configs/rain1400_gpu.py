"""fftdiff_jax/recipes/rain1400_gpu.py, by the path that it has in a checkout."""

from fftdiff_jax.recipes.rain1400_gpu import get_config as get_config
