"""The command line, started as a user starts it: in a process of its own, on pipes or on a terminal."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "golden"

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""What rich sends to a terminal beside text."""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "lifecycle", *arguments]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    return kept | {"PYTHONIOENCODING": "utf-8", "TERM": "xterm-256color"} | more


def interruptible() -> None:
    """Undo, in a child, what a shell does to commands in the background: Ctrl-C is ignored there, and inherited so."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def lifecycle(*arguments: str, stdin: bytes = b"", cwd: Path | None = None, **more: Any) -> tuple[int, str, str]:
    """Run a command on pipes. Returns status, stdout and stderr."""
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    done = subprocess.run(
        command(*arguments), input=stdin, cwd=cwd, env=environment(), timeout=120, check=False, **streams
    )
    return done.returncode, (done.stdout or b"").decode(), (done.stderr or b"").decode()


class Terminal:
    """
    A command on a real terminal of *width* columns.

    Args:
        arguments: The command's.
        width: In columns.
        stdin: Where its input comes from; a pipe that stays open by default.
        stdout: Where its data go; the terminal by default.
    """

    def __init__(self, *arguments: str, width: int = 80, cwd: Path | None = None, stdout: int | None = None) -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (50, width))
        self.process = subprocess.Popen(
            command(*arguments),
            stdin=subprocess.PIPE,
            stdout=theirs if stdout is None else stdout,
            stderr=theirs,
            cwd=cwd,
            env=environment(),
            preexec_fn=interruptible,
        )
        os.close(theirs)
        self.raw = ""

    def wait_for(self, text: str) -> None:
        """Read until *text* is on the screen."""
        while text not in self.text:
            assert self._read(), f"the command ended without {text!r}: {self.text!r}"

    def finish(self, interrupt: bool = False) -> int:
        """Close its input or interrupt it, and read to the end. Returns the status."""
        assert self.process.stdin is not None
        if interrupt:
            self.process.send_signal(signal.SIGINT)
        else:
            self.process.stdin.close()
        while self._read():
            pass
        os.close(self._ours)
        status = self.process.wait(timeout=60)
        self.process.stdin.close()
        return status

    def _read(self) -> bool:
        ready, _, _ = select.select([self._ours], [], [], 60)
        assert ready, f"nothing came for a minute after {self.text!r}"
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            if data := os.read(self._ours, 65536):
                self.raw += data.decode(errors="replace")
                return True
        return False

    @property
    def text(self) -> str:
        """What was written, without colours."""
        return ESCAPES.sub("", self.raw).replace("\r\n", "\n")


def on_terminal(*arguments: str, width: int, cwd: Path | None = None) -> tuple[int, str]:
    """Run a command on a terminal. Returns the status and the text."""
    terminal = Terminal(*arguments, width=width, cwd=cwd)
    status = terminal.finish()
    return status, terminal.text


def lines_of(path: Path, numbers: Sequence[int]) -> bytes:
    """Some lines of a file."""
    lines = path.read_bytes().splitlines(keepends=True)
    return b"".join(lines[number - 1] for number in numbers)
