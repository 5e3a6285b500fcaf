"""Who may talk to the demo: requests to its own address, from its own page.

A page elsewhere can send a visitor's browser here: by a name of its own that it points to this
machine (DNS rebinding: the Host is wrong), or by posting across sites (the Origin is wrong). Both
are refused before anything else sees them.
"""

from __future__ import annotations

import functools
import ipaddress
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger(__name__)


class Walls:
    """ASGI middleware: refuses strangers with 403, and keeps errors out of the log.

    What a request makes the application raise is one line in the log and 400 for who sent it.
    """

    def __init__(self, app: App, host: str, names: Iterable[str] = ()) -> None:
        """Stands before `app`, which is served on `host`; further `names` of it are allowed."""
        self._app, self._host, self._names = app, host, frozenset(map(str.lower, names))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers it."""
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        wrong = refusal(scope["headers"], self._host, self._names)
        if wrong is not None:
            return await _answer(scope, send, 403, wrong)
        begun = False

        async def note(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, note)
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            _log.warning("a request failed (%s: %s)", type(error).__name__, reason)
            if not begun:
                await _answer(scope, send, 400, "this request cannot be answered")


def refusal(
    headers: Iterable[tuple[bytes, bytes]], host: str, names: Iterable[str] = ()
) -> str | None:
    """Why a request with these headers is refused, or None.

    Args:
      headers: names in lower case and values, as ASGI has them.
      host: the address that is served.
      names: further ones that it is known by.
    """
    hosts, origins = ([value for name, value in headers if name == key] for key in _HEADERS)
    if len(hosts) != 1 or len(origins) > 1:
        return "one Host is needed, and at most one Origin"
    asked = hosts[0].decode("latin-1").lower()
    named = _HOST.fullmatch(asked)
    if named is None or not _is_own(named["name"].rstrip("."), host, names):
        return "this page is not served under that name; --allow_host=NAME allows it"
    if origins and origins[0].decode("latin-1").lower() not in (
        f"http://{asked}",
        f"https://{asked}",
    ):
        return "this page takes no requests from other pages"
    return None


# A name, a number or an IPv6 address in brackets, then perhaps a port.
_HOST = re.compile(r"\[?(?P<name>(?<=\[)[0-9a-f:.]+(?=\])|(?<!\[)[\w.-]+)\]?(:\d*)?", re.ASCII)
_HEADERS = (b"host", b"origin")


def _is_own(called: str, host: str, names: Iterable[str]) -> bool:
    if called in names or called == host.lower():
        return True
    served, address = _address(host), _address(called)
    loopback = host.lower() == "localhost" or (served is not None and served.is_loopback)
    everywhere = served is not None and served.is_unspecified
    if called == "localhost" or (address is not None and address.is_loopback):
        return loopback or everywhere
    # A number cannot be pointed elsewhere, as a name can.
    return everywhere and (address is not None or called in _names_of_this_machine())


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


@functools.cache  # it may ask the network
def _names_of_this_machine() -> set[str]:
    name = socket.gethostname().lower()
    return {name, f"{name}.local", socket.getfqdn().lower()}


async def _answer(scope: Scope, send: Send, status: int, line: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{line}\n".encode()})
