"""A headless Chromium that tests steer by its DevTools protocol through a pipe, without a library for it."""

import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--window-size=1280,900",
    "--remote-debugging-pipe",
)
_TIMEOUT_S = 60.0
Message = dict[str, Any]


class Page:
    """One browser with one tab.

    Attributes:
        complaints: errors and warnings of the console, and uncaught exceptions, as text.
    """

    def __init__(self, profile: Path) -> None:
        assert BROWSER is not None
        # The browser reads commands from descriptor 3 and writes to 4: those of the pipes to our standard streams.
        command = [BROWSER, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        shell = ["sh", "-c", 'exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1', *command]
        self._process = subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self._received = b""
        self._next_id = 0
        self._session: str | None = None
        self._loaded = False
        self.complaints: list[str] = []
        try:
            targets = self.send("Target.getTargets")["targetInfos"]
            page = next(target for target in targets if target["type"] == "page")
            attached = self.send("Target.attachToTarget", targetId=page["targetId"], flatten=True)
            self._session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log"):
                self.send(f"{domain}.enable")
        except BaseException:
            self._process.kill()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session = None
        try:
            self.send("Browser.close")
            self._process.wait(timeout=10)
        except (subprocess.TimeoutExpired, OSError, AssertionError):
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    def send(self, method: str, **parameters: object) -> Message:
        """Run a command of the protocol and return its result."""
        self._next_id += 1
        message: Message = {"id": self._next_id, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._next_id:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: Message = answer["result"]
                return result

    def open(self, address: str) -> None:
        """Go to an address and wait until it has loaded."""
        self._loaded = False
        self.send("Page.navigate", url=address)
        while not self._loaded:
            self._receive()

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression; of what it promises, if it is a promise."""
        answer = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_until(self, condition: str, timeout_s: float = _TIMEOUT_S) -> None:
        """Wait until a JavaScript expression is true."""
        deadline = time.monotonic() + timeout_s
        while not self.run(condition):
            assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {condition}"
            time.sleep(0.02)

    def press(self, key: str, shift: bool = False) -> None:
        """Press and release a key, named as `KeyboardEvent.key`."""
        codes = {" ": ("Space", 32), "ArrowLeft": ("ArrowLeft", 37), "ArrowRight": ("ArrowRight", 39)}
        code, number = codes.get(key, (key, ord(key[0].upper())))
        text = key if len(key) == 1 else ""
        common = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": 8 if shift else 0}
        self.send("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        self.send("Input.dispatchKeyEvent", type="keyUp", **common)

    def click(self, selector: str, across: float = 0.5) -> None:
        """Click the first element that a CSS selector finds, at a part of its width, once a click there would hit it.

        What an earlier click began may still be going on: a closing window still covers what is below it.
        """
        find = (
            f"(() => {{ const one = document.querySelector({json.dumps(selector)}); if (one === null) return null; "
            "one.scrollIntoView({ block: 'center', behavior: 'instant' }); const box = one.getBoundingClientRect(); "
            f"const [x, y] = [box.left + {across} * box.width, box.top + box.height / 2]; "
            "const hit = document.elementFromPoint(x, y); "
            "return hit !== null && one.contains(hit) ? [x, y] : null; })()"
        )
        self.wait_until(f"{find} !== null")
        x, y = self.run(find)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def _receive(self) -> Message:
        """The next message; events are noted."""
        stdout = self._process.stdout
        assert stdout is not None
        while b"\0" not in self._received:
            ready, _, _ = select.select([stdout], [], [], _TIMEOUT_S)
            assert ready, f"the browser was silent for {_TIMEOUT_S:g} s"
            part = os.read(stdout.fileno(), 1 << 20)
            assert part, "the browser is gone"
            self._received += part
        text, self._received = self._received.split(b"\0", 1)
        message: Message = json.loads(text)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, method: str, parameters: Message) -> None:
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(parameters["args"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.complaints.append(json.dumps(parameters["entry"]))
        elif method == "Page.javascriptDialogOpening":
            self.complaints.append(parameters["message"])
