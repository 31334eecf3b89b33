"""
A headless Chromium that is spoken to over a pipe (Chrome DevTools Protocol), with nothing but the standard library.

`$LIFECYCLE_CHROMIUM` names the program, which nox sees to; or it is found on the PATH.
"""

import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs
import pytest

PATIENT = 60
"""Seconds: more than opening a page takes, on whatever machine."""

_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    *("--no-zygote", "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe"),
)


def program() -> str:
    """Chromium; the test fails if there is none."""
    found = os.environ.get("LIFECYCLE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.fail(
            "no Chromium is here: `nox -s browser` brings one, or install it (Debian: apt-get install chromium)"
        )
    return found


@attrs.define
class Opened:
    """What became of a page."""

    asked: list[str] = attrs.field(factory=list)
    """All that was asked for, the page itself among them."""
    said: list[str] = attrs.field(factory=list)
    """Whatever came to the console: messages, errors, violations of the policy, dialogs."""


class Chromium:
    """A browser with one page. It has a profile of its own, which goes with it."""

    def __init__(self) -> None:
        self._number = 0
        self._data = b""
        self._session: str | None = None
        self._opened = Opened()
        self._profile = tempfile.TemporaryDirectory(prefix="lifecycle-", ignore_cleanup_errors=True)

    def __enter__(self) -> Self:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        reads, writes = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs_in, theirs_out))
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out = ours_in, ours_out

        def wire() -> None:  # it reads commands from 3, and answers on 4
            os.dup2(reads, 3)
            os.dup2(writes, 4)

        self._process = subprocess.Popen(
            [program(), *_OPTIONS, f"--user-data-dir={self._profile.name}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=False,  # what Python has opened is not inherited anyway
            preexec_fn=wire,
        )
        os.close(reads)
        os.close(writes)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._profile.cleanup()

    def open(self, path: Path) -> Opened:
        """Open a file, and wait until it has loaded, and what it started has had its time."""
        self._opened = Opened()
        self.call("Page.navigate", url=path.as_uri())
        while not self._loaded():
            pass
        self.run("new Promise(done => setTimeout(done, 200))")
        return self._opened

    def _loaded(self) -> bool:
        return bool(self.run("location.href != 'about:blank' && document.readyState == 'complete'"))

    def run(self, script: str) -> Any:
        """The value of an expression in the page. The policy of the page does not bind who looks at it."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def call(self, method: str, **params: Any) -> Any:
        """One command; what is told meanwhile is noted."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + PATIENT
        while b"\0" not in self._data:
            ready, _, _ = select.select([self._in], [], [], max(0, end - time.monotonic()))
            more = os.read(self._in, 1 << 20) if ready else b""
            assert more, f"Chromium does not answer, or has ended: {program()}"
            self._data += more
        text, _, self._data = self._data.partition(b"\0")
        found: dict[str, Any] = json.loads(text)
        return found

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self._opened.asked.append(params["request"]["url"])
            case "Log.entryAdded":
                self._opened.said.append(params["entry"]["text"])
            case "Runtime.consoleAPICalled":
                self._opened.said.append(" ".join(str(one.get("value")) for one in params["args"]))
            case "Runtime.exceptionThrown":
                self._opened.said.append(params["exceptionDetails"]["text"])
            case "Page.javascriptDialogOpening":
                self._opened.said.append(params["message"])
                self.call("Page.handleJavaScriptDialog", accept=True)
            case _:
                pass
