"""fftdiff_jax/commands/unseen_rain.py as python -m experiments.unseen_rain."""

import runpy

runpy.run_module("fftdiff_jax.commands.unseen_rain", run_name="__main__", alter_sys=True)
