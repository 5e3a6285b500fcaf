"""fftdiff_jax/commands/evaluate.py as python -m experiments.evaluate."""

import runpy

runpy.run_module("fftdiff_jax.commands.evaluate", run_name="__main__", alter_sys=True)
