"""fftdiff_jax/commands/train.py as python -m experiments.train."""

import runpy

runpy.run_module("fftdiff_jax.commands.train", run_name="__main__", alter_sys=True)
