"""Start of the program: an interrupt during it ends it, even one that Python drops."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
COMMAND = """
import os, signal, weakref
class Thing: pass
thing = Thing()
note = weakref.ref(thing, lambda _: os.kill(os.getpid(), getattr(signal, os.environ["SIGN"])))
del thing
def act(*_):
    print("it ran")
    return 0
"""
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from actors.local.start_up import Command, run_command_line
names = ("get", "search", "verify", "digest", "document", "demo", "daemon", "export")
raise SystemExit(run_command_line(**{name: Command("command:act") for name in names}))
"""


def started(folder: Path, sign: str) -> "subprocess.CompletedProcess[str]":
    (folder / "command.py").write_text(COMMAND)
    (folder / "file.bin").write_bytes(b"x")
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{folder}", "SIGN": sign}
    command = [sys.executable, "-c", PROGRAM, "verify", str(folder / "file.bin")]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_a_signal_whose_exception_a_callback_drops_ends_the_command_all_the_same(tmp_path: Path) -> None:
    for sign in ("SIGINT", "SIGTERM"):
        done = started(tmp_path, sign)
        assert "Exception ignored" in done.stderr
        assert (done.returncode, done.stdout) == (130, "")
        assert done.stderr.endswith("error: interrupted\n")


def test_without_a_signal_it_runs(tmp_path: Path) -> None:
    done = started(tmp_path, "SIGCONT")
    assert (done.returncode, done.stdout, done.stderr) == (0, "it ran\n", "")
