"""The measurements behind `fftdiff-jax benchmark`.

`plan` decides what is measured and starts a fresh process (`worker`) for every number, so that no
measurement inherits another's memory, compiled programs or device. It does not import JAX.
"""
