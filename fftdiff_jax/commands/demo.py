"""A page on which photos are dropped and come back without rain.

    pip install 'fftdiff-jax[demo]'
    fftdiff-jax demo --checkpoint=runs/mine

Open the address that it prints. It is served to this machine alone unless --host says otherwise,
under no other names than the machine's own and those of --allow_host, and needs no network. Ctrl-C
ends it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket

from absl import flags

from fftdiff_jax.commands import shared
from fftdiff_jax.errors import UserError

_CHECKPOINT = shared.define_checkpoint()
_HOST = flags.DEFINE_string("host", "127.0.0.1", "address to serve on; 0.0.0.0: to the network")
_PORT = flags.DEFINE_integer("port", 7860, "port to serve on", lower_bound=1, upper_bound=65535)
_ALLOWED = flags.DEFINE_list(
    "allow_host", [], "further names that the page is asked for by, behind a proxy for example"
)
_MEGABYTES = flags.DEFINE_float("max_megabytes", 100, "largest file", lower_bound=0.1)
_MEGAPIXELS = flags.DEFINE_float("max_megapixels", 64, "largest photo", lower_bound=0.01)
_PHOTOS = flags.DEFINE_integer("max_photos", 50, "most photos at a time", lower_bound=1)
_WAITING = flags.DEFINE_integer("max_waiting", 16, "visitors who may wait in line", lower_bound=1)
_COMPILATION_CACHE = shared.define_compilation_cache()


def main() -> None:
    """Serves the page until Ctrl-C."""
    if importlib.util.find_spec("gradio") is None:
        raise UserError("the page needs Gradio; pip install 'fftdiff-jax[demo]'")
    host, port = _HOST.value, _PORT.value
    _require_free(host, port)
    opener = shared.restorer_opener(_CHECKPOINT.value)
    print("opening the restorer and the page", flush=True)
    shared.prepare_jax(_COMPILATION_CACHE.value)
    restorer = opener()
    # Gradio would tell its makers about every start, and asks a server for news.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from fftdiff_jax.commands import demo_page

    limits = demo_page.Limits(_MEGABYTES.value, _MEGAPIXELS.value, _PHOTOS.value, _WAITING.value)
    page = demo_page.Page(restorer, limits)
    page.launch(host, port, _ALLOWED.value)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    print(f"ready: {' or '.join(addresses(host, port))} (Ctrl-C ends it)", flush=True)
    try:
        page.wait()
    except KeyboardInterrupt:
        print("ended", flush=True)
    finally:
        page.close()


def addresses(host: str, port: int) -> list[str]:
    """Where a page on `host` is opened: on this machine, and from others where they may."""
    hosts = [host]
    if host == "0.0.0.0":
        hosts = ["127.0.0.1"]
        # What this machine is called by others. Nothing is sent; without a network there is none.
        with contextlib.suppress(OSError), socket.socket(type=socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))
            hosts.append(probe.getsockname()[0])
    return [f"http://{name}:{port}" for name in hosts]


def _require_free(host: str, port: int) -> None:
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise UserError(
            f"--host={host} --port={port}: {(error.strerror or str(error)).lower()}; "
            "choose another --port"
        ) from error
