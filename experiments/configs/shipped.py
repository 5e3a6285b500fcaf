"""fftdiff_jax/recipes/shipped.py, by the path that it has in a checkout."""

from fftdiff_jax.recipes.shipped import get_config as get_config
