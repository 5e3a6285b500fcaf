"""python -m experiments.train, in a checkout: the command fftdiff-jax train."""

from fftdiff_jax.__main__ import main

if __name__ == "__main__":
    main("train")
