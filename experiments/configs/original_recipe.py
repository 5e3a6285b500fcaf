"""fftdiff_jax/recipes/original_recipe.py, by the path that it has in a checkout."""

from fftdiff_jax.recipes.original_recipe import get_config as get_config
