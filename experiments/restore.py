"""python -m experiments.restore, in a checkout: the command fftdiff-jax restore."""

from fftdiff_jax.__main__ import main

if __name__ == "__main__":
    main("restore")
