"""python -m experiments.demo, in a checkout: the command fftdiff-jax demo."""

from fftdiff_jax.__main__ import main

if __name__ == "__main__":
    main("demo")
