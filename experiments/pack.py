"""fftdiff_jax/commands/pack.py as python -m experiments.pack."""

import runpy

runpy.run_module("fftdiff_jax.commands.pack", run_name="__main__", alter_sys=True)
