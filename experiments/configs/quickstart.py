"""fftdiff_jax/recipes/quickstart.py, by the path that it has in a checkout."""

from fftdiff_jax.recipes.quickstart import get_config as get_config
