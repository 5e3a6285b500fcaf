"""What no run can have is refused before anything is read or written."""

import dataclasses

import pytest

from fftdiff_jax.config import Config, DiffusionConfig, ModelConfig, SamplingConfig, TrainingConfig
from fftdiff_jax.errors import UserError
from fftdiff_jax.training.run_setup import require_known

FROZEN = TrainingConfig(freeze_first=True, initial_weights="runs/first")
ALONE = DiffusionConfig(draw_share=0.0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"training": TrainingConfig(freeze_first=True)}, "wants training.initial_weights"),
        ({"training": FROZEN, "diffusion": ALONE}, "or nothing is trained"),
        ({"diffusion": DiffusionConfig(draw_share=1.5)}, "a share, from 0 to 1"),
        ({"diffusion": DiffusionConfig(noise="independent")}, 'must be "photo"'),
        ({"diffusion": ALONE, "sampling": SamplingConfig(draws=1)}, "no draws are trained"),
        ({"model": ModelConfig(prediction="direct")}, "a direct network has no first estimate"),
    ],
)
def test_draws_and_what_is_trained_must_fit(changes, said):
    with pytest.raises(UserError, match=said) as refused:
        require_known(Config(**changes))
    assert "\n" not in str(refused.value)


def test_what_fits_is_taken():
    require_known(Config(training=FROZEN))
    require_known(Config(diffusion=ALONE))
    direct = Config(model=ModelConfig(prediction="direct"), sampling=SamplingConfig(draws=1))
    require_known(direct)
    independent = DiffusionConfig(noise="independent")
    require_known(dataclasses.replace(direct, diffusion=independent))
