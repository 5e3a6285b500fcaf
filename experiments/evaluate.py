"""python -m experiments.evaluate, in a checkout: the command fftdiff-jax evaluate."""

from fftdiff_jax.__main__ import main

if __name__ == "__main__":
    main("evaluate")
