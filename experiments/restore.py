"""fftdiff_jax/commands/restore.py as python -m experiments.restore."""

import runpy

runpy.run_module("fftdiff_jax.commands.restore", run_name="__main__", alter_sys=True)
