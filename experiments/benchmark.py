"""fftdiff_jax/commands/benchmark.py as python -m experiments.benchmark."""

import runpy

runpy.run_module("fftdiff_jax.commands.benchmark", run_name="__main__", alter_sys=True)
