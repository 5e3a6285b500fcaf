"""Exports the first estimate for programs without Python: an ONNX model, or a page with no server.

    fftdiff-jax export --output=model.onnx                 for ONNX Runtime, in any language
    fftdiff-jax export --format=page --output=page         a folder of static files
    fftdiff-jax export --checkpoint=runs/mine -o mine.onnx

The model is compared with JAX before it is written: at most half a grey level is let pass. The page
takes the rain out of photos in the visitor's own browser, also without a network once it has been
seen. How the model is called, any size of photo: docs/page.md.
"""

from __future__ import annotations

from absl import flags

from fftdiff_jax.commands import shared
from fftdiff_jax.errors import UserError

_CHECKPOINT = shared.define_checkpoint()
_FORMAT = flags.DEFINE_enum(
    "format", "onnx", ["onnx", "page"], "a model for ONNX Runtime, or a page that runs it"
)
_OUTPUT = shared.define_output(
    "the model's file, NAME.onnx, or the page's folder; left out: model.onnx or page"
)
_MIRROR = shared.define_mirror()
_RUNTIME = flags.DEFINE_string(
    "onnxruntime",
    None,
    "page: onnxruntime-web as npm packs it (.tgz), where there is no network; left out: fetched "
    "once from the npm registry",
)


def main() -> int:
    """Exports what the flags name."""
    page = _FORMAT.value == "page"
    asked = _OUTPUT.value or ("page" if page else "model.onnx")
    output = shared.require_writable("output", asked, () if page else (".onnx",))
    if _RUNTIME.value and not page:
        raise UserError("--onnxruntime: is about --format=page; an ONNX model brings no runtime")
    if not page and output.is_dir():
        raise UserError(f"--output={asked}: is a folder; give the name of a file")
    shared.require_installed("jax2onnx", "onnx", "onnxruntime")
    opener = shared.restorer_opener(_CHECKPOINT.value)
    from fftdiff_jax import __version__
    from fftdiff_jax.commands import static_page
    from fftdiff_jax.files import replacing

    runtime = None
    if page:
        static_page.require_replaceable(output)
        runtime = static_page.find_runtime(_RUNTIME.value)
    print("opening the restorer", flush=True)
    shared.prepare_jax("")
    restorer = opener()
    if _MIRROR.value is not None:
        restorer = restorer.with_sampling(mirror=_MIRROR.value)
    from fftdiff_jax.restore import onnx_model

    onnx_model.require_first(restorer)
    print("translating the network, which takes a minute, and comparing it with JAX", flush=True)
    made_by = f"{onnx_model.MAKER} {__version__}"
    model = onnx_model.make_model(restorer, made_by)
    largest = onnx_model.check(model, restorer)
    data = model.SerializeToString()
    if runtime is None:
        with replacing(output) as temporary:
            temporary.write_bytes(data)
    else:
        facts = onnx_model.facts(restorer, made_by) | {"probe": onnx_model.probe(restorer)}
        static_page.write(output, data, facts, runtime)
    print(
        f"{asked}: a model of {len(data) / 1e6:.1f} MB, at most {255 * largest:.2g} of 255 grey "
        "levels from JAX"
    )
    if page:
        print(f"to look at it: python3 -m http.server --directory {asked}")
    return 0
