"""python -m experiments.scaling, in a checkout: the command fftdiff-jax scaling."""

from fftdiff_jax.__main__ import main

if __name__ == "__main__":
    main("scaling")
