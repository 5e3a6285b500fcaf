"""fftdiff_jax/commands/inspect_spectra.py as python -m experiments.inspect_spectra."""

import runpy

runpy.run_module("fftdiff_jax.commands.inspect_spectra", run_name="__main__", alter_sys=True)
