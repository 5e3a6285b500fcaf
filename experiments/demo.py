"""fftdiff_jax/commands/demo.py as python -m experiments.demo."""

import runpy

runpy.run_module("fftdiff_jax.commands.demo", run_name="__main__", alter_sys=True)
