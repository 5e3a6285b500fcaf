"""fftdiff_jax/recipes/long.py, by the path that it has in a checkout."""

from fftdiff_jax.recipes.long import get_config as get_config
