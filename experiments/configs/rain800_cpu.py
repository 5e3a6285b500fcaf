"""fftdiff_jax/recipes/rain800_cpu.py, by the path that it has in a checkout."""

from fftdiff_jax.recipes.rain800_cpu import get_config as get_config
