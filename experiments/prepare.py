"""python -m experiments.prepare, in a checkout: the command fftdiff-jax prepare."""

from fftdiff_jax.__main__ import main

if __name__ == "__main__":
    main("prepare")
