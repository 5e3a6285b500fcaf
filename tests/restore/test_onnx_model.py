"""The exported model against JAX: any size, both looks, ranges, what is written in it."""

import json

import jax
import numpy as np
import pytest

from fftdiff_jax.config import Config, ModelConfig, SamplingConfig
from fftdiff_jax.errors import UserError
from fftdiff_jax.method.method import make_method
from fftdiff_jax.restore import onnx_model, tiling
from fftdiff_jax.restore.restorer import Restorer

onnx = pytest.importorskip("onnx", reason="pip install -e '.[export]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="pip install -e '.[export]'")
pytest.importorskip("jax2onnx", reason="pip install -e '.[export]'")


@pytest.fixture(scope="module")
def restorer(tiny_restorer):
    """It looks twice, and its weights are those of a file: half precision holds them."""
    params = jax.tree.map(
        lambda leaf: np.asarray(leaf, np.float16).astype(np.float32), tiny_restorer.params
    )
    return Restorer(params, tiny_restorer.config).with_sampling(mirror=True)


@pytest.fixture(scope="module")
def model(restorer):
    return onnx_model.make_model(restorer)


@pytest.fixture(scope="module")
def session(model):
    return onnxruntime.InferenceSession(model.SerializeToString())


def test_it_is_what_jax_says_at_sizes_that_no_check_has_seen(session, restorer, rng):
    method = make_method(restorer.config)
    for shape in ((1, 48, 64, 3), (2, 31, 57, 3), (1, 1, 1, 3), (1, 3, 90, 3)):
        rainy = rng.random(shape, np.float32)
        expected = np.asarray(method.estimate(restorer.params, rainy, mirror=True))
        restored, estimate = session.run(["restored", "estimate"], {"rainy": rainy})
        assert estimate.shape == shape
        assert estimate.dtype == np.float32
        np.testing.assert_allclose(estimate, expected, atol=1e-5)
        np.testing.assert_array_equal(restored, estimate.clip(0, 1))
    assert (estimate != rainy).any()


def test_a_whole_small_photo_is_what_the_restorer_gives(session, restorer, rng):
    """A photo of one tile: the restorer mirrors it out to the tile, and so does a caller."""
    photo = rng.integers(0, 256, (100, 128, 3), np.uint8)
    side = tiling.choose_side(*photo.shape[:2])
    rainy = np.pad(photo / np.float32(255), ((0, side - 100), (0, side - 128), (0, 0)), "symmetric")
    (restored,) = session.run(["restored"], {"rainy": rainy[None].astype(np.float32)})
    found = np.round(255 * restored[0, :100, :128]).astype(int)
    assert np.abs(found - restorer(photo)).max() <= 1


def test_what_a_caller_must_know_is_written_in_it(model, restorer):
    written = {prop.key: json.loads(prop.value) for prop in model.metadata_props}
    assert written == onnx_model.facts(restorer)
    assert written["sides"] == list(tiling.SIDES)
    assert written["stride"] == make_method(restorer.config).stride
    assert written["mirror"] is True
    assert {opset.version for opset in model.opset_import if not opset.domain} == {18}
    (rainy,) = model.graph.input
    sides = [side.dim_param or side.dim_value for side in rainy.type.tensor_type.shape.dim]
    assert sides == ["batch", "height", "width", 3]


def test_weights_of_half_precision_stay_half_as_long(model, restorer):
    weights = sum(leaf.size for leaf in jax.tree.leaves(restorer.params["first"]))
    assert model.ByteSize() < 2 * weights + 60_000


def test_one_look_and_weights_that_need_all_bits(tiny_restorer):
    """A plain network of another shape, with one look; the check runs it and lets it pass."""
    config = Config(model=ModelConfig(widths=(4, 8, 8), blocks=(1, 1, 1), fold=3, block="plain"))
    params = make_method(config).init(jax.random.key(1))
    params = jax.tree.map(lambda leaf: leaf + np.float32(0.01), params)
    restorer = Restorer(params, config).with_sampling(mirror=False)
    assert onnx_model.check(onnx_model.make_model(restorer), restorer) < 1e-5


def test_a_model_that_differs_is_refused(model, restorer):
    wrong = Restorer(
        jax.tree.map(lambda leaf: leaf + np.float32(0.01), restorer.params), restorer.config
    )
    assert onnx_model.check(model, restorer) < 1e-5
    with pytest.raises(UserError, match="differs from JAX"):
        onnx_model.check(model, wrong)


def test_weights_without_a_first_estimate_are_refused():
    model = ModelConfig(prediction="direct", widths=(4,), blocks=(1,))
    restorer = Restorer({}, Config(model=model, sampling=SamplingConfig(draws=1)))
    with pytest.raises(UserError, match="no first estimate"):
        onnx_model.make_model(restorer)
