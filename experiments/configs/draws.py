"""fftdiff_jax/recipes/draws.py, by the path that it has in a checkout."""

from fftdiff_jax.recipes.draws import get_config as get_config
