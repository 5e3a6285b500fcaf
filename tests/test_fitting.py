"""What no run can have is refused before anything is read or written."""

import dataclasses

import pytest

from fftdiff_jax.config import (
    Config,
    DiffusionConfig,
    ModelConfig,
    SamplingConfig,
    TrainingConfig,
    check,
)
from fftdiff_jax.errors import UserError

FROZEN = TrainingConfig(freeze_first=True, initial_weights="runs/first")
ALONE = DiffusionConfig(draw_share=0.0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"training": TrainingConfig(freeze_first=True)}, "wants training.initial_weights"),
        ({"training": FROZEN, "diffusion": ALONE}, "or nothing is trained"),
        ({"diffusion": DiffusionConfig(draw_share=1.5)}, "must be from 0 to 1"),
        ({"diffusion": DiffusionConfig(noise="independent")}, 'must be "photo"'),
        ({"diffusion": ALONE, "sampling": SamplingConfig(draws=1)}, "no draws are trained"),
        ({"model": ModelConfig(prediction="direct")}, "a direct network has no first estimate"),
    ],
)
def test_draws_and_what_is_trained_must_fit(changes, said):
    with pytest.raises(UserError, match=said) as refused:
        check(Config(**changes))
    assert "\n" not in str(refused.value)


def test_what_fits_is_taken():
    check(Config(training=FROZEN))
    check(Config(diffusion=ALONE))
    direct = Config(model=ModelConfig(prediction="direct"), sampling=SamplingConfig(draws=1))
    check(direct)
    independent = DiffusionConfig(noise="independent")
    check(dataclasses.replace(direct, diffusion=independent))
