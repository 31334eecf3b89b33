"""
Ways to run a command: in this process, in one of its own, on a terminal.

Starting Python takes many times longer than most commands. What needs a process of its own (pipes that close, signals,
full disks, exit statuses, terminals) gets one; whatever is said of a command's words and statuses alone is tried here.
"""

import contextlib
import io
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

import pytest

from lifecycle import __main__ as program
from tests.measuring import MEASURED

GOLDEN = Path(__file__).parent / "golden"

PATIENT = 300
"""Seconds: more than any command takes, on whatever machine. Nothing waits so long unless it hangs."""

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


def lifecycle(*arguments: str, stdin: bytes = b"", cwd: Path | None = None) -> tuple[int, str, str]:
    """Run a command in this process, with streams that are no terminals. Returns status, stdout and stderr."""
    out, err = io.BytesIO(), io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("NO_COLOR", raising=False)
        patch.setenv("COLUMNS", "80")  # or else the terminal of whoever runs the tests would count
        if cwd is not None:
            patch.chdir(cwd)
        patch.setattr(sys, "argv", ["lifecycle", *arguments])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
        patch.setattr(sys, "stdout", io.TextIOWrapper(out, "utf-8"))
        patch.setattr(sys, "stderr", io.TextIOWrapper(err, "utf-8", "backslashreplace"))
        status = program.main()
        sys.stdout.flush()
        sys.stderr.flush()
        return status, out.getvalue().decode(), err.getvalue().decode()


def started(
    *arguments: str, stdin: bytes = b"", stdout: Any = subprocess.PIPE, cwd: Path | None = None, **more: str
) -> tuple[int, str, str]:
    """Run a command in a process of its own, with *more* in its environment. Returns status, stdout and stderr."""
    done = subprocess.run(
        command(*arguments),
        input=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=environment(**more),
        timeout=PATIENT,
        check=False,
    )
    return done.returncode, (done.stdout or b"").decode(), done.stderr.decode()


class Terminal:
    """
    A command on a real terminal of *width* columns.

    Args:
        arguments: The command's. Its input is a pipe that stays open.
        width: In columns.
        patience: Seconds until it shows a progress bar; by default there is none, however slow the machine.
        before: Code to run first.
    """

    def __init__(
        self,
        *arguments: str,
        width: int = 80,
        cwd: Path | None = None,
        patience: float = 2 * PATIENT,
        before: str = "",
    ) -> None:
        code = before + (
            f"import sys; from lifecycle.cli import output; output._PATIENCE = {patience};"
            "from lifecycle.__main__ import main; sys.exit(main())"
        )
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (50, width))
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=subprocess.PIPE,
            stdout=theirs,
            stderr=theirs,
            cwd=cwd,
            env=environment(**MEASURED),  # what only a terminal is shown
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
        status = self.process.wait(timeout=PATIENT)
        self.process.stdin.close()
        return status

    def _read(self) -> bool:
        ready, _, _ = select.select([self._ours], [], [], PATIENT)
        assert ready, f"nothing came after {self.text!r}"
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
