"""For every test: Hypothesis judges what happens, never how long it takes on a busy machine; code is compiled once."""

import importlib
import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("shoal", deadline=None, max_examples=50)
# What a change must pass finds the same each time: pytest --hypothesis-profile thorough. To look further: explore.
settings.register_profile("thorough", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("shoal")

# Without files of compiled code each program that a test starts compiles its modules, and each worker all tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts its background jobs so, and every program started by the tests would inherit it: an interrupt
    # during its start would then be lost.
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # under nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection(session: pytest.Session) -> None:
    """Workers share the compiling of a new checkout's tests: then each reads what all of them have written."""
    worker, count = os.environ.get("PYTEST_XDIST_WORKER", ""), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if worker and session.config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        folder = Path(__file__).parent
        for path in sorted(folder.rglob("test_*.py"))[int(worker.removeprefix("gw")) :: count]:
            importlib.import_module(".".join(path.relative_to(folder.parent).with_suffix("").parts))
