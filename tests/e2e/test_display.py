"""The live display, on a pseudo-terminal of 80 columns and 24 lines."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

from tests.e2e.program import ROOT, Shoal
from tests.http_mirrors.box import Character, Content, mirrors

CONTENT = Content(1_500_000, seed=71)
COLUMNS, LINES = 80, 24


class Terminal:
    """A program with a controlling terminal, and all that it wrote there."""

    def __init__(self, command: list[str], folder: Path, env: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.modes = termios.tcgetattr(slave)
        # A session of its own whose controlling terminal is ours: then Ctrl-C is what the kernel makes of a key.
        self.process = subprocess.Popen(
            [sys.executable, "-c", LEADER, *command], cwd=folder, env={**env, "TERM": "xterm-256color"},
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        )  # fmt: skip
        self.slave = slave
        self.text = b""
        self._grown = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self.master, 65536):
                with self._grown:
                    self.text += data
                    self._grown.notify_all()

    def until(self, wanted: bytes) -> None:
        with self._grown:
            assert self._grown.wait_for(lambda: wanted in self.text, timeout=30), self.text

    def press(self, key: bytes) -> None:
        os.write(self.master, key)

    def finish(self) -> int:
        code = self.process.wait(30)
        assert termios.tcgetattr(self.slave) == self.modes
        os.close(self.slave)
        self._reader.join(10)
        os.close(self.master)
        return code

    @property
    def lines(self) -> list[str]:
        """What was written, without colours and moves."""
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.text.decode())
        return [line.strip("\r") for line in plain.split("\n")]


LEADER = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def shown(shoal: Shoal, *words: str) -> Terminal:
    return Terminal([str(ROOT / "run.py"), "get", *words, "-o", "file.bin"], shoal.folder, shoal.env)


def test_a_download_is_drawn_and_ends_with_its_last_line(shoal: Shoal) -> None:
    with mirrors({"a": Character(rate_bytes_s=6e5), "b": Character(rate_bytes_s=6e5)}, CONTENT) as box:
        terminal = shown(shoal, *box.urls)
        assert terminal.finish() == 0
        assert str(box.port("a")) in terminal.text.decode()
        assert str(box.port("b")) in terminal.text.decode()
    assert CONTENT.matches(shoal.folder / "file.bin")
    assert terminal.lines[-2].startswith(f"sealed: {shoal.folder}/file.bin"[:COLUMNS])
    assert terminal.lines[-1] == ""
    assert b"\x1b[?25l" not in terminal.text or terminal.text.rindex(b"\x1b[?25h") > terminal.text.rindex(b"\x1b[?25l")
    assert b"\x1b[?1049h" not in terminal.text
    assert terminal.text.count(b"A") > 2


def test_ctrl_c_on_the_terminal_interrupts_in_order(shoal: Shoal) -> None:
    with mirrors({"a": Character(stall_after_bytes=700_000)}, CONTENT) as box:
        terminal = shown(shoal, *box.urls, "--chunk-size", "32K", "--verbose")
        terminal.until(b"chunk 3 ")
        terminal.press(b"\x03")
        assert terminal.finish() == 130
        assert terminal.lines[-2].startswith("interrupted; the same command goes on from ")
        assert b"Traceback" not in terminal.text
        assert shoal.files == ["file.bin.part", "file.bin.part.records"]
        box.become("a", Character())
        assert shoal.get(*box.urls, "-o", "file.bin").code == 0
    assert CONTENT.matches(shoal.folder / "file.bin")


def test_a_failure_is_reported_on_the_terminal_too(shoal: Shoal) -> None:
    with mirrors({"a": Character(status=404)}, CONTENT) as box:
        terminal = shown(shoal, *box.urls)
        assert terminal.finish() == 3
    assert any(line.startswith("no source can deliver: ") for line in terminal.lines)
    assert b"Traceback" not in terminal.text


def test_a_terminal_that_closes_does_not_leave_processes(shoal: Shoal) -> None:
    with mirrors({"a": Character(stall_after_bytes=700_000)}, CONTENT) as box:
        terminal = shown(shoal, *box.urls, "--chunk-size", "32K", "--verbose")
        terminal.until(b"chunk 3 ")
        shoal.orderly = False
        os.close(terminal.slave)
        terminal.process.send_signal(signal.SIGHUP)
        terminal.process.wait(30)
        os.close(terminal.master)
    shoal.check_processes()
    assert shoal.files == ["file.bin.part", "file.bin.part.records"]
