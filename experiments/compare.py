"""python -m experiments.compare, in a checkout: the command fftdiff-jax compare."""

from fftdiff_jax.__main__ import main

if __name__ == "__main__":
    main("compare")
