"""A step of a draw: what noise it sees, and what it makes of the step before."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fftdiff_jax.method import samplers
from fftdiff_jax.method.denoiser import Prediction
from fftdiff_jax.method.method import Method, make_method
from fftdiff_jax.restore import tile_programs
from fftdiff_jax.restore.tile_programs import Carry

SIZE = (16, 12)
TIMES = samplers.step_times(3)


@dataclasses.dataclass(frozen=True)
class Reveals(Method):
    """Says the latent's pixels in place of a photo, or its numbers."""

    numbers: bool = False

    def predict(self, params, noisy, rainy, t, first, latent):
        photo = latent.pixels
        if self.numbers:
            photo = jnp.resize(latent.numbers[0], photo.shape)
        return Prediction(jnp.zeros_like(noisy), photo, photo)


@pytest.fixture(params=[False, True], ids=["pixels", "numbers"])
def latent(request, tiny_restorer, rng):
    """A function (number of the step, tile origin, seed) -> what a step is told."""
    method = make_method(tiny_restorer.config)
    fields = {field.name: getattr(method, field.name) for field in dataclasses.fields(method)}
    revealing = Reveals(**fields, numbers=request.param)
    step = jax.jit(tile_programs.make_step(revealing, tiny_restorer.config.sampling))
    rainy = jnp.asarray(rng.random((1, *SIZE, 3)), jnp.float32)

    def told(number, origin=(0, 0, 0), seed=0):
        times = jax.tree.map(lambda leaf: leaf[number], TIMES)
        key, origins = jax.random.key(seed), jnp.asarray([origin])
        return np.asarray(step(None, rainy, origins, rainy, Carry(rainy, rainy), key, times)[0][0])

    return told


def test_every_step_draw_and_seed_has_a_latent_of_its_own(latent):
    ways = [(0,), (1,), (2,), (0, (1, 0, 0)), (1, (1, 0, 0)), (0, (0, 0, 0), 1)]
    found = [latent(*way) for way in ways]
    for one, other in itertools.combinations(found, 2):
        assert np.abs(one - other).max() > 0.5
    np.testing.assert_array_equal(latent(1), found[1])


def test_tiles_of_one_draw_are_told_alike(latent):
    """The numbers, which all of them share, or pixels by their places."""
    one, other = latent(1), latent(1, (0, 4, 2))
    assert np.array_equal(one, other) or np.array_equal(one[4:, 2:], other[:-4, :-2])


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpm_solver"])
def test_the_first_step_does_not_look_at_the_carry(sampler, tiny_restorer, rng):
    restorer = tiny_restorer.with_sampling(sampler=sampler)
    step = jax.jit(tile_programs.make_step(make_method(restorer.config), restorer.config.sampling))
    rainy, other = jnp.asarray(rng.random((2, 1, *SIZE, 3)), jnp.float32)
    origins, key = jnp.zeros((1, 3), int), jax.random.key(0)

    def after(number, carry):
        times = jax.tree.map(lambda leaf: leaf[number], TIMES)
        return step(restorer.params, rainy, origins, rainy, carry, key, times)

    for a, b in zip(after(0, Carry(rainy, rainy)), after(0, Carry(other, other)), strict=True):
        np.testing.assert_array_equal(a, b)
    later = [after(1, Carry(photo, photo)).estimate for photo in (rainy, other)]
    assert np.abs(later[0] - later[1]).max() > 1e-3
    # The last step leaves no noise.
    assert not after(2, Carry(rainy, rainy)).noise.any()
    assert after(1, Carry(rainy, rainy)).noise.any()
