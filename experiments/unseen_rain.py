"""python -m experiments.unseen_rain, in a checkout: the command fftdiff-jax unseen_rain."""

from fftdiff_jax.__main__ import main

if __name__ == "__main__":
    main("unseen_rain")
