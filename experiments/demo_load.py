"""What a photo of a phone's size costs the demo: seconds, and the memory of its process.

    python -m experiments.demo_load 12 50

Starts `fftdiff-jax demo`, uploads a photo of so many megapixels in rendered rain for each number,
asks for it as the page does, and prints a row of a table for each. Words that begin with -- go to
the demo. Linux only (/proc).
"""

from __future__ import annotations

import http.client
import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from skimage import data

from fftdiff_jax.data import rain


def main(megapixels: list[float], flags: list[str]) -> None:
    """Prints a row for each size, each with a server of its own."""
    print("| photo | seconds | most memory before | most memory |\n|---|---|---|---|", flush=True)
    for size in megapixels:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "fftdiff_jax", "demo", f"--port={port}", *flags]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            while not (line := server.stdout.readline()).startswith("ready"):
                assert line, "the demo did not start"
            photo, shape = _rainy(size)
            before = _memory(server.pid)
            begin = time.monotonic()
            said = _restored(port, photo)
            seconds = time.monotonic() - begin
            row = f"{shape[1]} × {shape[0]}, {size:g} megapixels | {seconds:.0f}"
            print(f"| {row} | {before:.2f} GB | {_memory(server.pid):.2f} GB |", said, flush=True)
            server.send_signal(signal.SIGINT)
            server.wait(60)


def _rainy(megapixels: float) -> tuple[bytes, tuple[int, int]]:
    """A JPEG of a photo that was made larger, in rain; its height and width."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = round(height * 4 / 3)
    clean = Image.fromarray(data.coffee()).resize((width, height), Image.Resampling.BICUBIC)
    rng = np.random.default_rng(0)
    style = rain.sample_style(rng, "shower")
    cut = rain.rain_field(rng, (1000, 1000), style)
    repeats = (-(-height // 1000), -(-width // 1000))
    field = rain.RainField(style, np.tile(cut.coverage, repeats)[:height, :width], cut.mean)
    buffer = io.BytesIO()
    Image.fromarray(rain.blend_rain(np.asarray(clean), field)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue(), (height, width)


def _restored(port: int, photo: bytes) -> str:
    """What the page says of a photo that is uploaded and restored."""
    limit = b"--limit\r\n"
    head = b'Content-Disposition: form-data; name="files"; filename="photo.jpg"\r\n\r\n'
    body = limit + head + photo + b"\r\n--limit--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=limit"}
    (path,) = json.loads(_ask(port, "POST", "upload", body, kind))
    mark = {"path": path, "meta": {"_type": "gradio.FileData"}}
    call = json.dumps({"data": [[mark], "full", "best", ""]})
    event = json.loads(_ask(port, "POST", "call/restore", call))["event_id"]
    answer = _ask(port, "GET", f"call/restore/{event}")
    return " ".join(re.findall(r"photo\.jpg: [^<]* pixels in [^<]*", answer)[-1:])


def _ask(port: int, method: str, path: str, body: Any = None, headers: Any = None) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=7200)
    try:
        headers = headers or {"Content-Type": "application/json"}
        connection.request(method, f"/gradio_api/{path}", body, headers)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def _memory(process: int) -> float:
    """The most that a process has held so far, in gigabytes."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024 / 1e9


if __name__ == "__main__":
    flags = [word for word in sys.argv[1:] if word.startswith("--")]
    main([float(word) for word in sys.argv[1:] if word not in flags] or [12, 50], flags)
