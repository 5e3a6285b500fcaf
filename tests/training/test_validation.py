"""What a run is validated on: that which it trains."""

import dataclasses

import jax
import numpy as np
import pytest

from fftdiff_jax.data.manifest import read_manifest
from fftdiff_jax.training.validation import Validation


@pytest.mark.parametrize("freeze", [False, True])
def test_a_frozen_first_estimate_is_not_validated_again(freeze, pairs_csv, tiny_restorer):
    """Draws are, where they alone are trained; else the first estimate is."""
    config = tiny_restorer.config
    training = dataclasses.replace(
        config.training, freeze_first=freeze, evaluate_photos=2, evaluate_crop=32
    )
    config = dataclasses.replace(config, training=training)
    validation = Validation(config, read_manifest(pairs_csv, "val"))
    params = tiny_restorer.params

    def moved(name):
        return validation.score({**params, name: jax.tree.map(np.zeros_like, params[name])})

    as_it_is = validation.score(params)
    assert np.isfinite(as_it_is["psnr_y"])
    assert (moved("denoiser") != as_it_is) == freeze
    if not freeze:
        # A first estimate of zeros is the rainy photo itself.
        assert moved("first")["gain_y"] == pytest.approx(0, abs=1e-6)
