"""fftdiff_jax/commands/prepare.py as python -m experiments.prepare."""

import runpy

runpy.run_module("fftdiff_jax.commands.prepare", run_name="__main__", alter_sys=True)
