"""LPIPS of photos of any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import data

from fftdiff_jax.metrics import frozen, lpips
from tests.compilations import counted


def pair(size, rng):
    clean = data.coffee()[: size[0], : size[1]]
    noise = rng.normal(0, 25, clean.shape)
    return np.clip(clean + noise, 0, 255).astype(np.uint8), clean


def distance(rainy, clean, net):
    """Of the whole photos at once, without canvases or blocks."""
    a, b = (jnp.asarray(photo[None], jnp.float32) / 255 for photo in (rainy, clean))
    return float(jax.jit(lpips.perceptual_distance)(frozen.load(net), a, b)[0])


@pytest.mark.parametrize("net", ["alexnet", pytest.param("vgg16", marks=pytest.mark.slow)])
@pytest.mark.parametrize("size", [(301, 96), (96, 330)])
def test_blocks_give_the_distance_of_the_whole_photo(net, size, rng, monkeypatch):
    rainy, clean = pair(size, rng)
    whole = distance(rainy, clean, net)
    assert lpips.lpips_photo(rainy, clean, net) == pytest.approx(whole, rel=1e-5)
    monkeypatch.setattr(frozen, "BLOCK_SIDE", 64)
    assert len(frozen.blocks_of(size)) > 2
    assert lpips.lpips_photo(rainy, clean, net) == pytest.approx(whole, rel=1e-4)


@pytest.mark.parametrize("net", ["alexnet", pytest.param("vgg16", marks=pytest.mark.slow)])
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (127, 128), (129, 150), (191, 64)])
def test_a_canvas_gives_the_distance_of_the_photo_alone(net, size, rng):
    rainy, clean = pair(size, rng)
    found = lpips.lpips_photo(rainy, clean, net)
    assert found == pytest.approx(distance(rainy, clean, net), rel=1e-5)


def test_photos_of_many_sizes_share_a_program(rng):
    sizes = [(40 + 7 * i, 128 - 5 * i) for i in range(12)]
    lpips.lpips_photo(*pair((128, 128), rng))
    with counted() as count:
        for size in sizes:
            lpips.lpips_photo(*pair(size, rng))
    assert count.programs == 0
