"""LPIPS of photos of any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import data

from fftdiff_jax.metrics import lpips


@pytest.mark.parametrize("net", ["alexnet", pytest.param("vgg16", marks=pytest.mark.slow)])
@pytest.mark.parametrize("size", [(301, 96), (96, 330)])
def test_blocks_give_the_distance_of_the_whole_photo(net, size, rng, monkeypatch):
    clean = data.coffee()[: size[0], : size[1]]
    noise = rng.normal(0, 25, clean.shape)
    rainy = np.clip(clean + noise, 0, 255).astype(np.uint8)
    a, b = (jnp.asarray(photo[None], jnp.float32) / 255 for photo in (rainy, clean))
    whole = float(jax.jit(lpips.perceptual_distance)(lpips.perceptual_params(net), a, b)[0])
    assert lpips.lpips_photo(rainy, clean, net) == pytest.approx(whole, rel=1e-5)
    monkeypatch.setattr(lpips, "BLOCK_SIDE", 64)
    assert len(lpips._blocks(max(size))) > 2
    assert lpips.lpips_photo(rainy, clean, net) == pytest.approx(whole, rel=1e-4)


@pytest.mark.parametrize("length", [32, 736, 737, 1247, 1249, 6000])
def test_blocks_join(length):
    blocks = lpips._blocks(length)
    ends = [block.counted_to or length for block in blocks]
    assert [block.counted_from for block in blocks] == [0, *ends[:-1]]
    assert ends[-1] == length == blocks[-1].last
    assert max(block.last - block.first for block in blocks) <= 736 + 112
    assert all(block.first % 16 == 0 and block.counted_from % 16 == 0 for block in blocks)
