"""fftdiff_jax/commands/compare.py as python -m experiments.compare."""

import runpy

runpy.run_module("fftdiff_jax.commands.compare", run_name="__main__", alter_sys=True)
