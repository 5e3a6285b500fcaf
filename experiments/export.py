"""python -m experiments.export, in a checkout: the command fftdiff-jax export."""

from fftdiff_jax.__main__ import main

if __name__ == "__main__":
    main("export")
