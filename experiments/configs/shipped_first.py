"""fftdiff_jax/recipes/shipped_first.py, by the path that it has in a checkout."""

from fftdiff_jax.recipes.shipped_first import get_config as get_config
