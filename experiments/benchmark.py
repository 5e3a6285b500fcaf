"""python -m experiments.benchmark, in a checkout: the command fftdiff-jax benchmark."""

from fftdiff_jax.__main__ import main

if __name__ == "__main__":
    main("benchmark")
