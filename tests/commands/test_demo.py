"""The demo as a program asks it, without a browser: strangers, and values that no slider gives."""

import http.client
import io
import json
import re
import signal
import socket
import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

from fftdiff_jax.restore.weights import save_weights
from tests.commands import environment
from tests.data import kinds

pytest.importorskip("gradio", reason="pip install -e '.[demo]'")
pytestmark = pytest.mark.slow

SECONDS = 240


@pytest.fixture(scope="module")
def demo(tmp_path_factory, tiny_restorer):
    """The port of a demo, and what it has said once it has ended."""
    folder, said = tmp_path_factory.mktemp("demo"), []
    save_weights(folder / "tiny.safetensors", tiny_restorer.params, tiny_restorer.config)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "experiments.demo",
            "--checkpoint=tiny.safetensors",
            f"--port={port}",
            "--compilation_cache=",
        ],
        cwd=folder,
        env=environment(GRADIO_TEMP_DIR=str(folder / "uploads")),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        if line.startswith("ready: "):
            break
    assert said[-1].startswith("ready: "), "".join(said)
    yield port
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 0, rest
    assert "Traceback" not in rest, rest
    assert rest.count("\n") < 100


def ask(port, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        headers = {"Content-Type": "application/json"} | headers
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


def test_strangers_are_refused_on_every_path(demo):
    own = f"127.0.0.1:{demo}"
    assert ask(demo, "GET", "/")[0] == 200
    assert ask(demo, "GET", "/", Origin=f"http://{own}")[0] == 200
    for path in ("/", "/config", "/gradio_api/info", "/gradio_api/queue/data?session_hash=a"):
        assert ask(demo, "GET", path, Host="evil.example")[0] == 403
        assert ask(demo, "GET", path, Origin="http://evil.example")[0] == 403
    for path in ("/gradio_api/call/restore", "/gradio_api/queue/join", "/gradio_api/upload"):
        assert ask(demo, "POST", path, "{}", Host=f"evil.example:{demo}")[0] == 403
        assert ask(demo, "POST", path, "{}", Origin="null")[0] == 403


def restored(port, photo):
    """What the page answers about a photo that is named so."""
    body = json.dumps({"data": [[photo], "full", "best", ""]})
    event = json.loads(ask(port, "POST", "/gradio_api/call/restore", body)[1])["event_id"]
    return ask(port, "GET", f"/gradio_api/call/restore/{event}")[1]


def test_photos_of_this_machine_are_restored_for_nobody(demo, tmp_path):
    """Only what was uploaded is opened, however a request names it."""
    (tmp_path / "private.png").write_bytes(kinds.encoded("PNG"))
    place = str(tmp_path / "private.png")
    mark = {"meta": {"_type": "gradio.FileData"}}
    for named in (
        {"path": place},
        {"path": place, "meta": {}},
        {"path": place} | mark,
        {"path": place, "url": "http://127.0.0.1:9/x.png"},
        {"path": "/proc/self/cwd/tiny.safetensors"},
    ):
        answer = restored(demo, named)
        assert "event: error" in answer or "was not dropped" in answer
    uploaded = upload(demo, "a.png", kinds.encoded("PNG"))
    assert "event: error" in restored(demo, {"path": uploaded})  # not marked as a file
    answer = restored(demo, {"path": uploaded} | mark)
    assert "event: complete" in answer
    assert "not restored" not in answer


def upload(port, name, content):
    """Where an uploaded file lies."""
    limit = b"--limit\r\n"
    head = f'Content-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    body = limit + head + content + b"\r\n--limit--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=limit"}
    (path,) = json.loads(ask(port, "POST", "/gradio_api/upload", body, **kind)[1])
    return path


def noise(width, height):
    """The bytes of a JPEG."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def test_a_stop_ends_the_work_and_the_next_visitor_is_served(demo):
    """The page stops the photo of its own session, at the next tile."""
    config = json.loads(ask(demo, "GET", "/config")[1])
    number = next(one["id"] for one in config["dependencies"] if one["api_name"] == "restore")
    file = {
        "path": upload(demo, "large.jpg", noise(3000, 2000)),
        "meta": {"_type": "gradio.FileData"},
    }
    call = {"data": [[file], "full", "best", ""], "fn_index": number, "session_hash": "visitor"}
    assert ask(demo, "POST", "/gradio_api/queue/join", json.dumps(call))[0] == 200
    connection = http.client.HTTPConnection("127.0.0.1", demo, timeout=SECONDS)
    connection.request("GET", "/gradio_api/queue/data?session_hash=visitor")
    tiles, stopped, said, whole, answer = [], False, "", "", connection.getresponse()
    while "process_completed" not in said:
        said = answer.readline().decode()
        whole += said
        found = re.findall(r"tile (\d+) of (\d+)", said)
        if found and int(found[0][0]) > 1 and not stopped:
            stopped = True
            for stranger in ("somebody", "visitor"):  # the former has nothing to stop
                stop = json.dumps({"data": [], "session_hash": stranger})
                assert ask(demo, "POST", "/gradio_api/run/stop", stop)[0] == 200
        tiles += [tuple(map(int, pair)) for pair in found]
    connection.close()
    assert ">stopped<" in whole.encode().decode("unicode_escape")
    done, total = max(tiles)
    assert done < total / 2
    answer = restored(demo, file | {"path": upload(demo, "b.jpg", noise(64, 64))})
    assert "b.jpg: 64 × 64 pixels in" in answer.encode().decode("unicode_escape")


def test_the_map_is_drawn_when_it_is_asked_for_and_once(tmp_path, tiny_restorer, monkeypatch):
    from fftdiff_jax.commands import demo_photos
    from fftdiff_jax.commands.demo_page import Limits, Page

    drawn, draw = [], demo_photos.guesses
    monkeypatch.setattr(demo_photos, "guesses", lambda *a: drawn.append(a) or draw(*a))
    (tmp_path / "a.png").write_bytes(kinds.encoded("PNG"))
    page, visitor = Page(tiny_restorer, Limits()), types.SimpleNamespace(session_hash="a")
    try:
        files = [(tmp_path / "a.png", "a.png")]
        *_, last = page.restore(files, "full", "best", "", visitor)
        results = last[page.parts.results]
        assert len(results) == 1
        assert drawn == []
        *_, last = page.guess(results, 0, {}, visitor)
        maps = last[page.parts.maps]
        assert last[page.parts.guesses].count("<img") == 4
        (again,) = page.guess(results, 0, maps, visitor)
        assert again == {page.parts.guesses: last[page.parts.guesses]}
        assert len(drawn) == 1
        for number in range(55):  # a photo that is not there is a line, however many there are
            files.append((tmp_path / f"{number}.png", "b.png"))
        *_, last = page.restore(files, "full", "best", "", visitor)
        assert "these are 56 photos; this page takes 50 at a time" in last[page.parts.said]
    finally:
        page.close()


MARK = {"meta": {"_type": "gradio.FileData"}}
VALUES = [
    [None, "full", "best", ""],
    [[], "full", "best", ""],
    [None, "abc", 1, None],
    [None, None, [], {}],
    [None, 1.0, 10**30, 5],
    [None, "full", "best", "data:image/png;base64,!"],
    [None, "full", "best", "data:image/png;base64,aaaa"],
    [None, "full", "best", "/etc/passwd"],
    [[{"path": "/etc/passwd"} | MARK], "full", "best", ""],
    [[{"path": "../../x"} | MARK], "full", "best", ""],
    [[{"path": {"a": 1}}], "full", "best", ""],
    [{"path": "/etc/passwd"} | MARK, "full", "best", ""],
    ["text", "full", "best", ""],
    [7, "full", "best", ""],
    [[], {}, "x", []],
    [],
    [None] * 50,
    {"a": 1},
    "text",
    None,
]


@pytest.mark.parametrize("number", range(len(VALUES)))
def test_wrong_values_are_answered_and_the_demo_lives_on(demo, number):
    body = json.dumps({"data": VALUES[number]})
    status, answer = ask(demo, "POST", "/gradio_api/call/restore", body)
    if status == 200:
        event = json.loads(answer)["event_id"]
        status, answer = ask(demo, "GET", f"/gradio_api/call/restore/{event}")
        assert "root:" not in answer
        assert "not restored" in answer or "error" in answer
    else:
        assert 400 <= status < 500
    ask(demo, "POST", "/gradio_api/run/restore", body)
    assert ask(demo, "GET", "/")[0] == 200


@pytest.mark.parametrize("body", ["{", "[]", "3", "", '{"data": ' + 5000 * "[" + 5000 * "]" + "}"])
@pytest.mark.parametrize("path", ["call/restore", "call/nothing", "queue/join", "run/9", "reset"])
def test_bodies_that_are_none_are_answered(demo, body, path):
    assert 400 <= ask(demo, "POST", f"/gradio_api/{path}", body)[0] < 600
