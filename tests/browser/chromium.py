"""A headless Chromium for tests, driven over pipes: no driver and no client library are needed.

The DevTools protocol is JSON with a zero byte after each message; with --remote-debugging-pipe
Chromium reads it from file descriptor 3 and writes to 4.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find_chromium() -> str | None:
    """The browser's path, or None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One page of a fresh browser; `errors` collects what its console complains about."""

    def __init__(self, binary: str, *, width: int = 1200, height: int = 900) -> None:
        self.errors: list[str] = []
        self._messages = 0
        self._buffer = b""
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        flags = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--no-first-run", "--remote-debugging-pipe", "--force-device-scale-factor=1",
            f"--window-size={width},{height}", f"--user-data-dir={self._profile.name}",
        ]  # fmt: skip
        # The shell puts the pipes where Chromium looks for them, whatever numbers they have here.
        command = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, "bash", binary, *flags, "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._session: str | None = None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        found = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)
        os.close(self._write)
        self._profile.cleanup()

    def open(self, url: str) -> None:
        """Goes to `url` and waits until it and its pictures are there."""
        self._call("Page.navigate", url=url)
        ready = "location.href !== 'about:blank' && document.readyState === 'complete'"
        self.wait(ready, 120)  # a busy machine takes as long for a page of many scripts

    def wait(self, expression: str, seconds: float = 30) -> None:
        """Waits until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.value(f"Boolean({expression})"):
            if time.monotonic() > end:
                raise TimeoutError(f"not true within {seconds} s: {expression}")
            time.sleep(0.05)

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression, by JSON."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"].get("exception", found))
        return found["result"].get("value")

    def centre(self, selector: str, seconds: float = 60) -> tuple[float, float, float]:
        """Scrolls an element into sight; its middle and its width, in pixels of the window.

        Waits until it is there and lies still: a page that is being built moves what is on it.
        """
        place = (
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "if (!e) return null; e.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const b = e.getBoundingClientRect();"
            "return b.width && [b.x + b.width / 2, b.y + b.height / 2, b.width]; })()"
        )
        end = time.monotonic() + seconds
        before, box = None, self.value(place)
        while not box or box != before:
            if time.monotonic() > end:
                raise TimeoutError(f"not there, or not still, within {seconds} s: {selector}")
            time.sleep(0.1)
            before, box = box, self.value(place)
        return box[0], box[1], box[2]

    def mouse(self, kind: str, x: float, y: float, *, pressed: bool = True) -> None:
        """A mouse event: "mousePressed", "mouseMoved" or "mouseReleased"."""
        self._call(
            "Input.dispatchMouseEvent",
            type=kind, x=x, y=y, button="left" if pressed else "none", clickCount=1,
            buttons=int(pressed and kind != "mouseReleased"),
        )  # fmt: skip

    def click(self, selector: str) -> None:
        """Presses and releases the mouse in the middle of an element, once it is there."""
        self.wait(f"document.querySelector({json.dumps(selector)})", 60)
        x, y, _ = self.centre(selector)
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)

    def upload(self, selector: str, *paths: Path) -> None:
        """Chooses files in an input of files, as its dialog would."""
        root = self._call("DOM.getDocument")["root"]["nodeId"]
        node = self._call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self._call("DOM.setFileInputFiles", nodeId=node, files=[*map(str, paths)])

    def keep_downloads(self, folder: Path) -> None:
        """What the page gives to download is put into a folder, without a question."""
        where = {"behavior": "allow", "downloadPath": str(folder)}
        self._call("Page.setDownloadBehavior", **where)

    def key(self, name: str, code: int) -> None:
        """Presses and releases a key, such as "ArrowRight", 39."""
        for kind in ("rawKeyDown", "keyUp"):
            self._call(
                "Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code
            )

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Saves what is seen, or the whole page, as a PNG."""
        found = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._messages += 1
        message: dict[str, Any] = {"id": self._messages, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == message["id"]:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def _receive(self, seconds: float = 60) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], seconds)
            chunk = os.read(self._read, 1 << 20) if ready else b""
            if not chunk:
                raise RuntimeError("the browser has ended, or does not answer")
            self._buffer += chunk
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        method, found = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = found["exceptionDetails"]
            self.errors.append(str(details.get("exception", details).get("description", details)))
        elif method == "Runtime.consoleAPICalled" and found["type"] in ("error", "warning"):
            self.errors.append(str(found["args"]))
        elif method == "Log.entryAdded" and found["entry"]["level"] in ("error", "warning"):
            self.errors.append(found["entry"]["text"])
