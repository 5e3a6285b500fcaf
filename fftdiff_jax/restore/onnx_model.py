"""The first estimate as an ONNX model: for browsers, and for programs without Python or JAX.

The model takes photos of any size, alone or in batches:

    rainy     float32 (b, h, w, 3), red, green and blue as a file has them, in [0, 1]
    restored  the same shape: the first estimate, clipped to [0, 1], not rounded
    estimate  the same, not clipped: what tiles are blended of, as `Engine` does

jax2onnx translates the network. What depends on a photo's exact size is put around it here, because
shapes that are not multiples of the stride cannot be traced: the photo is mirrored out to such a
multiple and cut back, as the network itself does. So is the second, mirrored look, where the
restorer has one: it is mirrored before it is filled up, and shares a batch with the first.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fftdiff_jax.errors import UserError
from fftdiff_jax.method.method import Method, make_method
from fftdiff_jax.restore import tiling
from fftdiff_jax.restore.restorer import Restorer

if TYPE_CHECKING:
    import onnx

# The first whose ReduceMean is the one that jax2onnx writes; ONNX Runtime 1.14 and newer.
OPSET = 18
IR_VERSION = 8  # the form of files that came with it
LARGEST_DIFFERENCE = 1 / 512  # between the model and JAX: half a grey level
# Heights and widths that a model is checked at: odd ones, and one below any network's stride.
CHECKED = ((40, 56), (67, 45), (5, 130))
MAKER = "fftdiff-jax"  # and its version, where a command says it
_FROM_HERE = 256  # numbers from which on an array is kept in half precision


def require_first(restorer: Restorer) -> Method:
    """The method of a restorer, computed in float32.

    Raises:
      UserError: its weights have no first estimate.
    """
    config = restorer.config
    model = dataclasses.replace(config.model, dtype="float32")
    method = make_method(dataclasses.replace(config, model=model))
    if method.first is None:
        raise UserError(
            f"{restorer.name or 'these weights'}: have no first estimate, which is what is "
            "exported; give others (--checkpoint)"
        )
    return method


def facts(restorer: Restorer, made_by: str = MAKER) -> dict[str, Any]:
    """What a program must know to cut photos into tiles and to blend them; JSON can hold it."""
    return {
        "made_by": made_by,
        "step": restorer.step,
        "mirror": restorer.config.sampling.mirror,
        "stride": require_first(restorer).stride,
        "sides": list(tiling.SIDES),
        "overlap": tiling.OVERLAP,
        "fade": tiling.FADE,
        "range": [0, 1],
        "layout": "NHWC, RGB",
    }


def make_model(restorer: Restorer, made_by: str = MAKER) -> onnx.ModelProto:
    """Translates the first estimate, with the restorer's own mirrored look; takes some 20 s.

    Numbers of the weights that half precision holds exactly are kept in it. `made_by` is written
    into it, beside all `facts`.

    Raises:
      UserError: the weights have no first estimate.
      ModuleNotFoundError: jax2onnx is not installed.
    """
    import jax2onnx
    import onnx

    method = require_first(restorer)
    stride = method.stride

    def estimate(folded: Float[Array, "b h s w s 3"]) -> Float[Array, "b h2 w2 3"]:
        batch, rows, _, columns, _, channels = folded.shape
        rainy = folded.reshape(batch, rows * stride, columns * stride, channels)
        return method.estimate(restorer.params, rainy)

    with _quiet("onnx_ir"):
        model = jax2onnx.to_onnx(
            estimate,
            [("batch", "rows", stride, "columns", stride, 3)],
            model_name="first_estimate",
            opset=OPSET,
            export_mode="web",
            input_names=["folded"],
            output_names=["padded_estimate"],
        )
    graph = model.graph
    del graph.value_info[:]  # shapes of what is inside, which readers infer themselves
    _take_any_size(graph, stride, restorer.config.sampling.mirror)
    _keep_in_half(graph)
    model.ir_version = IR_VERSION
    model.producer_name, _, model.producer_version = made_by.partition(" ")
    written = {key: json.dumps(value) for key, value in facts(restorer, made_by).items()}
    onnx.helper.set_model_props(model, written)
    onnx.checker.check_model(model, full_check=True)
    return model


def check(model: onnx.ModelProto, restorer: Restorer) -> float:
    """The largest difference between the model and JAX, over photos of several sizes.

    Raises:
      UserError: it is over `LARGEST_DIFFERENCE`, or the model cannot be run.
      ModuleNotFoundError: ONNX Runtime is not installed.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    differences = []
    for batch, (height, width) in enumerate(CHECKED, start=1):
        rainy = pattern(batch, height, width)
        expected = _first(restorer, rainy)
        restored, estimate = session.run(["restored", "estimate"], {"rainy": rainy})
        differences.append(np.abs(estimate - expected).max())
        differences.append(np.abs(restored - expected.clip(0, 1)).max())
    largest = float(np.max(differences))
    if not largest <= LARGEST_DIFFERENCE:  # not where it is NaN, either
        raise UserError(
            f"the exported model differs from JAX by {largest:.2g} of [0, 1]; at most "
            f"{LARGEST_DIFFERENCE:.2g} is right: nothing is written; try other versions of jax2onnx"
        )
    return largest


def pattern(batch: int, height: int, width: int) -> Float[np.ndarray, "b h w 3"]:
    """Photos that any language makes alike: ((7 y + 13 x + 29 c + 31 b) mod 256) / 255."""
    b, y, x, c = np.ogrid[:batch, :height, :width, :3]
    return ((7 * y + 13 * x + 29 * c + 31 * b) % 256 / 255).astype(np.float32)


def probe(restorer: Restorer, side: int = min(tiling.SIDES), step: int = 9) -> dict[str, Any]:
    """What a browser compares itself with before it restores: some pixels of a known tile.

    Returns:
      The side of the tile `pattern(1, side, side)`, and each `step`-th pixel of its estimate in
      rows and columns, as a flat list.
    """
    estimate = _first(restorer, pattern(1, side, side))
    some = estimate[0, ::step, ::step].ravel()
    return {"side": side, "step": step, "estimate": [round(float(n), 5) for n in some]}


def _first(restorer: Restorer, rainy: Float[np.ndarray, "b h w 3"]) -> Float[np.ndarray, "b h w 3"]:
    method, mirror = require_first(restorer), restorer.config.sampling.mirror
    found = jax.jit(lambda params, rainy: method.estimate(params, rainy, mirror))
    return np.asarray(found(restorer.params, jnp.asarray(rainy)))


def _take_any_size(graph: onnx.GraphProto, stride: int, mirror: bool) -> None:
    """Puts nodes around the network: what fills photos up to its stride, and the mirrored look.

    Filling up repeats the pixel at the border, which ONNX's Pad has no mode for: rows and columns
    are gathered by min(i mod 2n, 2n - 1 - i mod 2n).
    """
    from onnx import TensorProto, helper

    network = list(graph.node)
    del graph.node[:], graph.input[:], graph.output[:]

    def number(name: str, value: Sequence[int] | int) -> str:
        shape = [] if isinstance(value, int) else [len(value)]
        values = [value] if isinstance(value, int) else list(value)
        graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, shape, values))
        return name

    def fraction(name: str, value: float) -> str:
        graph.initializer.append(helper.make_tensor(name, TensorProto.FLOAT, [], [value]))
        return name

    def node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        graph.node.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    zero, one, two = (number(f"number_{n}", n) for n in range(3))
    by, less = number("stride", stride), number("stride_less_one", stride - 1)
    front = number("axis_0", [0])
    shape = node("Shape", ["rainy"], "size")
    lengths = [
        node("Gather", [shape, number(f"place_{axis}", axis)], f"length_{axis}") for axis in (1, 2)
    ]
    photo = "rainy"
    if mirror:
        places = node("Range", [zero, lengths[1], one], "columns_places")
        rightmost = node("Sub", [lengths[1], one], "columns_last")
        reverse = node("Sub", [rightmost, places], "columns_reversed")
        turned = node("Gather", [photo, reverse], "rainy_mirrored", axis=2)
        photo = node("Concat", [photo, turned], "looks", axis=0)
    parts, sizes = [number("all_batch", [-1])], []
    for axis, length in zip((1, 2), lengths, strict=True):
        more = node("Add", [length, less], f"more_{axis}")
        count = node("Div", [more, by], f"count_{axis}")
        filled = node("Mul", [count, by], f"filled_{axis}")
        places = node("Range", [zero, filled, one], f"places_{axis}")
        period = node("Mul", [length, two], f"period_{axis}")
        there = node("Mod", [places, period], f"there_{axis}")
        last = node("Sub", [period, one], f"last_{axis}")
        back = node("Sub", [last, there], f"back_{axis}")
        index = node("Min", [there, back], f"index_{axis}")
        photo = node("Gather", [photo, index], f"filled_up_{axis}", axis=axis)
        parts += [node("Unsqueeze", [count, front], f"part_{axis}"), number(f"by_{axis}", [stride])]
        sizes.append(node("Unsqueeze", [length, front], f"size_{axis}"))
    folded = node("Concat", [*parts, number("channels", [3])], "folded_size", axis=0)
    node("Reshape", [photo, folded], "folded")
    graph.node.extend(network)
    ends = node("Concat", sizes, "cut_ends", axis=0)
    cut = ["padded_estimate", number("cut_starts", [0, 0]), ends, number("cut_axes", [1, 2])]
    if mirror:
        looks = node("Slice", cut, "looks_estimates")
        batch = node("Slice", [shape, front, number("size_first", [1])], "batch_size")
        both = node("Concat", [batch, batch], "looks_sizes", axis=0)
        graph.node.append(
            helper.make_node("Split", [looks, both], ["straight", "mirrored"], axis=0)
        )
        back = node("Gather", ["mirrored", reverse], "turned_back", axis=2)
        total = node("Add", ["straight", back], "looks_sum")
        node("Mul", [total, fraction("half", 0.5)], "estimate")
    else:
        node("Slice", cut, "estimate")
    ends_of_range = [fraction("darkest", 0.0), fraction("brightest", 1.0)]
    node("Clip", ["estimate", *ends_of_range], "restored")
    sides: list[str | int | None] = ["batch", "height", "width", 3]
    for values, names in ((graph.input, ("rainy",)), (graph.output, ("restored", "estimate"))):
        values.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, sides) for n in names)


def _keep_in_half(graph: onnx.GraphProto) -> None:
    """Keeps arrays that lose nothing by it in half precision; readers make them float32 again.

    Files of weights hold half precision anyway: what is downloaded is half as long.
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        array = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = array.astype(np.float16)
        if array.size < _FROM_HERE or not np.array_equal(half.astype(np.float32), array):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keeps a logger's warnings back: shapes that are left open are none of the user's."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
