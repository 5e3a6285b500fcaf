"""The benchmark: what it measures, the file it writes, and what it refuses."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import pytest

from fftdiff_jax.commands.benchmarks import operations, profiling, restoring, tables
from fftdiff_jax.config import Config, ModelConfig, SamplingConfig
from fftdiff_jax.restore import tiling
from tests.commands import TINY, refusal, run

VERSIONS = {"jax": "1", "flax": "2", "python": "3"}


def test_refuses_what_it_cannot_measure(tmp_path):
    assert "did you mean train" in refusal(run(tmp_path, "benchmark", "trian"))


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--sizes=480", "write HEIGHTxWIDTH"),
        ("--steps=0", "--steps: '0' is not a whole number of at least 1"),
        ("--draws=-1", "--draws: '-1' is not a whole number of at least 0"),
        ("--output=.", "is a folder"),
    ],
)
def test_refuses_wrong_settings(flag, message, tmp_path, capsys):
    from fftdiff_jax.commands.benchmarks import plan, results
    from fftdiff_jax.errors import UserError

    name, value = flag.removeprefix("--").split("=")
    checks = {
        "sizes": lambda: plan.parse_sizes([value], False),
        "steps": lambda: plan.parse_counts("steps", [value]),
        "draws": lambda: plan.parse_counts("draws", [value], least=0),
        "output": lambda: results.require_writable(tmp_path),
    }
    with pytest.raises(UserError, match=message):
        checks[name]()


def test_counts_convolutions_and_products_by_hand():
    def function(x, kernel, matrix):
        def turn(carry, _):
            return carry @ matrix, None

        y = jax.lax.conv_general_dilated(
            x, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        y = jnp.mean(y, axis=(1, 2))
        return jax.lax.scan(turn, y, length=5)[0]

    shapes = ((2, 9, 9, 3), (3, 3, 3, 4), (4, 4))
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    counted = operations.count_products(jax.make_jaxpr(jax.jit(function))(*arguments))
    assert counted == 2 * (2 * 4 * 4 * 4) * (3 * 3 * 3) + 5 * 2 * 2 * 4 * 4


def test_the_gradients_of_a_convolution_cost_as_much_as_it_does():
    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def loss(x, kernel):
        return jnp.sum(jnp.square(convolve(x, kernel)))

    arguments = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((2, 16, 16, 3), (2, 2, 3, 4))]
    forward = operations.count_products(jax.make_jaxpr(convolve)(*arguments))
    both = operations.count_products(jax.make_jaxpr(jax.grad(loss, (0, 1)))(*arguments))
    assert both == pytest.approx(3 * forward)


def test_a_profile_knows_what_a_compiled_operation_is():
    def loss(kernel, x):
        with jax.named_scope("unet"):
            y = jax.lax.conv_general_dilated(
                x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
        return jnp.sum(jnp.abs(jnp.fft.fft2(y, axes=(1, 2))))

    arguments = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((3, 3, 8, 8), (2, 16, 16, 8))]
    text = jax.jit(jax.grad(loss)).lower(*arguments).compile().as_text()
    kinds = {entry["kind"] for entry in profiling.describe(text).values()}
    assert {"convolution", "weight gradient", "fft"} <= kinds
    parts = {e["part"] for e in profiling.describe(text).values() if e["kind"] == "convolution"}
    assert "network" in parts


@pytest.fixture(scope="module")
def measured(tmp_path_factory, pairs_csv):
    """Everything but the start-up, with a network that takes milliseconds."""
    folder = tmp_path_factory.mktemp("benchmark")
    result = run(
        folder,
        "benchmark",
        *("train", "data", "sample", "profile"),
        "--quick",
        "--sizes=40x50",
        "--steps=1",
        "--draws=0,2",
        f"--manifest={pairs_csv}",
        "--output=found/benchmark.json",
        *TINY,
        timeout=900,
    )
    assert result.returncode == 0, result.stderr
    return folder / "found" / "benchmark.json", result


@pytest.mark.slow
def test_writes_what_it_promises(measured):
    found = json.loads(measured[0].read_text())
    assert set(found) == {"train", "data", "sample", "profile", "device", "versions", "measured"}
    train, data = found["train"], found["data"]
    keys = ("images_per_second", "step_seconds", "flops_per_step", "share_of_matmul")
    assert all(train[key] > 0 for key in keys)
    assert train["images_per_second"] == pytest.approx(4 / train["step_seconds"])
    assert train["share_of_matmul"] < 1
    assert train["flops_products"] <= train["flops_per_step"]
    assert set(data["pairs_per_second"]) == {"manifest", "tfds", "numpy_loop"}
    assert all(rate > 0 for rate in data["pairs_per_second"].values())
    assert 0 <= data["waiting_share"] < 1
    assert [row["draws"] for row in found["sample"]] == [0, 2]
    for row in found["sample"]:
        assert {"height", "width", "steps", "draws", "seconds", "peak_rss_mb"} <= set(row)
        assert (row["height"], row["width"]) == (40, 50)
        assert row["seconds"] > 0
        assert row["peak_rss_mb"] > 50
    assert found["versions"]["jax"] == jax.__version__
    shares = [row["share"] for row in found["profile"]["groups"]]
    assert sum(shares) == pytest.approx(1)


@pytest.mark.slow
def test_prints_a_table_of_earlier_results(measured):
    path, result = measured
    again = run(path.parent, "benchmark", "table", f"--output={path}")
    assert again.returncode == 0
    assert again.stdout == result.stdout
    assert "share of the matrix product" in again.stdout


@pytest.mark.slow
def test_measures_the_start(tmp_path, pairs_csv):
    result = run(
        tmp_path,
        "benchmark",
        "startup",
        "--quick",
        "--output=start.json",
        f"--config.data.manifest={pairs_csv}",
        "--config.data.rendered_rain=0.0",
        *TINY,
        timeout=900,
    )
    assert result.returncode == 0, result.stderr
    startup = json.loads((tmp_path / "start.json").read_text())["startup"]
    assert startup["cached_seconds"] > 0
    assert startup["cold_seconds"] > 0


def test_a_photo_is_looked_at_once_and_in_every_step_of_every_draw():
    row = {"height": 1000, "width": 2000, "megapixels": 2.0, "seconds": 18.0, "peak_rss_mb": 300.0}
    row |= {"tiled_pixels": 1.25, "share_of_matmul": 0.613}
    found = [{**row, "steps": 4, "draws": draws} for draws in (0, 2)]
    text = tables.markdown({"sample": found, "device": "one", "versions": VERSIONS})
    assert "| 1000x2000 | 2.00 | 1.25 x | 4 | 0 | 18.00 | 9.00 | 61 % |" in text
    assert "| 1000x2000 | 2.00 | 1.25 x | 4 | 2 | 18.00 | 1.00 |" in text


def test_operations_of_the_best_photo_are_those_of_its_tiles_and_looks():
    config = Config(model=ModelConfig(widths=(8, 16), blocks=(1, 1)))
    twice = dataclasses.replace(config, sampling=SamplingConfig(mirror=True))
    one = restoring.best_photo_operations(config, 40, 50)
    side = tiling.choose_side(40, 50)
    assert restoring.tiled_pixels(config, 40, 50) == side**2
    assert restoring.best_photo_operations(twice, 40, 50) == 2 * one
    large = restoring.tiled_pixels(config, 900, 1300)
    assert 900 * 1300 < large < restoring.tiled_pixels(config, 900, 1300, draws=1)
    side = tiling.choose_side(900, 1300)
    each = restoring.best_photo_operations(config, side, side)
    assert restoring.best_photo_operations(config, 900, 1300) == each * large / side**2


def test_a_table_says_where_each_part_was_measured():
    origin = {"device": "one", "versions": VERSIONS}
    startup = {
        "cold_seconds": 20.0,
        "cached_seconds": 8.0,
        "spread": {name: {"least": 1.0, "most": 30.0, "runs": 3} for name in ("cold", "cached")},
    }
    text = tables.markdown({"startup": startup, **origin})
    assert "one; jax 1, flax 2, python 3." in text
    assert "| cold | 20.0 | 1.0 to 30.0 |" in text
