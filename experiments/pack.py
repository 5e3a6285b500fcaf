"""python -m experiments.pack, in a checkout: the command fftdiff-jax pack."""

from fftdiff_jax.__main__ import main

if __name__ == "__main__":
    main("pack")
