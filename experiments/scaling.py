"""fftdiff_jax/commands/scaling.py as python -m experiments.scaling."""

import runpy

runpy.run_module("fftdiff_jax.commands.scaling", run_name="__main__", alter_sys=True)
