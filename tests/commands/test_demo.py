"""The demo as a program asks it, without a browser: strangers, and values that no slider gives."""

import http.client
import json
import signal
import socket
import subprocess
import sys

import pytest

from fftdiff_jax.restore.weights import save_weights
from tests.commands import environment

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


VALUES = [
    [None, 1, 1],
    [None, "abc", 1],
    [None, None, []],
    [None, -5, 10**30],
    [None, 1e300, 0.5],
    [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}, 1, 1],
    [{"path": "../../x", "meta": {"_type": "gradio.FileData"}}, 1, 1],
    [{"path": {"a": 1}}, 1, 1],
    ["text", 1, 1],
    [7, 1, 1],
    [[], {}, "x"],
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
