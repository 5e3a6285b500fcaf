"""python -m experiments.inspect_spectra, in a checkout: the command fftdiff-jax inspect."""

from fftdiff_jax.__main__ import main

if __name__ == "__main__":
    main("inspect")
