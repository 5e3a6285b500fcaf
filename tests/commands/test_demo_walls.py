"""Who may talk to the demo: its own page, under its own address."""

import asyncio
import socket

import pytest

from fftdiff_jax.commands.demo import addresses
from fftdiff_jax.commands.demo_walls import Walls, refusal

LOCAL, EVERYWHERE = "127.0.0.1", "0.0.0.0"


def headers(host, origin=None):
    found = [(b"host", host.encode()), (b"accept", b"*/*")]
    return [*found, (b"origin", origin.encode())] if origin is not None else found


@pytest.mark.parametrize(
    ("served", "host"),
    [
        (LOCAL, "127.0.0.1:7860"),
        (LOCAL, "localhost:7860"),
        (LOCAL, "LOCALHOST"),
        (LOCAL, "localhost.:9000"),  # a port that ssh forwards
        (LOCAL, "[::1]:7860"),
        ("localhost", "localhost:7860"),
        (EVERYWHERE, "192.168.1.7:7860"),
        (EVERYWHERE, "[fd00::7]:7860"),
        (EVERYWHERE, f"{socket.gethostname()}:7860"),
        ("192.168.1.7", "192.168.1.7:7860"),
        (LOCAL, "photos.example:443"),  # named by --allow_host
    ],
)
def test_its_own_names_are_served_and_its_own_page_may_post(served, host):
    names = ["photos.example"]
    assert refusal(headers(host), served, names) is None
    assert refusal(headers(host, f"http://{host}"), served, names) is None
    assert refusal(headers(host, f"https://{host}"), served, names) is None


@pytest.mark.parametrize("served", [LOCAL, "localhost", EVERYWHERE, "192.168.1.7"])
def test_the_addresses_that_it_says_are_served(served):
    said = addresses(served, 7860)
    assert len(said) == 1 or served == EVERYWHERE
    for address in said:
        host = address.removeprefix("http://")
        assert host != f"{EVERYWHERE}:7860"  # which no phone can open
        assert refusal(headers(host), served) is None


@pytest.mark.parametrize("served", [LOCAL, "localhost", EVERYWHERE, "192.168.1.7"])
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:7860",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "user@127.0.0.1.evil.example",
        "[::1",
        "127.0.0.1@evil.example",
        "evil.example\\@127.0.0.1",
    ],
)
def test_other_names_are_refused(served, host):
    assert "not served under that name" in refusal(headers(host), served)


def test_a_loopback_page_is_not_served_to_the_network_and_the_other_way_round():
    assert refusal(headers("192.168.1.7:7860"), LOCAL)
    assert refusal(headers("127.0.0.1:7860"), "192.168.1.7")


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "",
        "http://127.0.0.1",
        "http://127.0.0.1:7861",
        "file://",
        "http://127.0.0.1:7860.evil.example",
        "ftp://127.0.0.1:7860",
        "http://localhost:7860",
    ],
)
def test_other_pages_may_not_post(origin):
    assert "other pages" in refusal(headers("127.0.0.1:7860", origin), LOCAL)


def test_headers_that_come_twice_or_never_are_refused():
    assert refusal([], LOCAL)
    assert refusal([*headers("127.0.0.1"), *headers("evil.example")], LOCAL)
    twice = [*headers("127.0.0.1", "http://127.0.0.1"), (b"origin", b"http://evil.example")]
    assert refusal(twice, LOCAL)


def ask(app, host, kind="http"):
    """What an application sends for one request."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": kind, "headers": headers(host)}
    asyncio.run(Walls(app, LOCAL)(scope, None, send))
    return sent


def test_a_stranger_never_reaches_the_application():
    async def application(scope, receive, send):
        pytest.fail("it was reached")

    assert ask(application, "evil.example")[0]["status"] == 403
    assert ask(application, "evil.example", "websocket")[0]["type"] == "websocket.close"


def test_an_error_in_the_application_is_one_line_and_an_answer(caplog):
    async def application(scope, receive, send):
        raise TypeError("two\nlines")

    sent = ask(application, "127.0.0.1")
    assert sent[0]["status"] == 400
    assert "TypeError: two lines" in caplog.text
    assert "Traceback" not in caplog.text


def test_what_the_application_sends_is_passed_on():
    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("in the middle")

    assert [message["status"] for message in ask(application, "127.0.0.1")] == [200]
