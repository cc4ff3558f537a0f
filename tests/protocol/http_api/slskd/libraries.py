"""``slskd-api``, the Python library that people's scripts and Soularr use, in the versions they use.

The versions exclude each other and are no one's dependency, so each is unpacked into a folder of its own and driven in
a process of its own: one call a line goes in, what it returned comes out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

VERSIONS: Final = ("0.1.5", "0.2.4")
INSTALL_S_MAX: Final = 90
CALL_S_MAX: Final = 30
_DRIVER: Final = """
import json, sys
import requests
import slskd_api
settings = json.loads(sys.argv[1])
client = None
for line in sys.stdin:
    name, arguments, named = json.loads(line)
    try:
        client = client or slskd_api.SlskdClient(**settings)
        part, _, call = name.partition(".")
        said = {"returned": getattr(getattr(client, part), call)(*arguments, **named)}
    except requests.HTTPError as error:
        said = {"status": error.response.status_code, "body": error.response.text}
    print(json.dumps(said), flush=True)
"""


class CallError(Exception):
    """The library raised: the answer had this status."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status} {body}")
        self.status = status


class Library:
    """One client in its process. ``library.call("searches.search_text", "words", fileLimit=5)``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def call(self, name: str, *arguments: Any, **named: Any) -> Any:
        """What the library returns. Raises `CallError` where it raises because of a status."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, arguments, named]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the library ended: {name}"
        said = json.loads(line)
        if "status" in said:
            raise CallError(said["status"], said["body"])
        return said["returned"]


@contextmanager
def driving(folder: Path, url: str, **settings: Any) -> Iterator[Library]:
    """`settings` as `SlskdClient` takes them."""
    shown = json.dumps({"host": url, "timeout": CALL_S_MAX, **settings})
    env = {**os.environ, "PYTHONPATH": str(folder), "NO_PROXY": "*"}
    process = subprocess.Popen(
        [sys.executable, "-c", _DRIVER, shown], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )
    try:
        yield Library(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=CALL_S_MAX)
        assert process.stdout is not None
        process.stdout.close()


def unpacked(version: str, cache: Path) -> Path:
    """The folder with this version of the library, from the cache or the package index."""
    folder = cache / f"slskd-api-{version}"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            trouble = _install(version, Path(temporary))
            if trouble:
                if os.environ.get("SHOAL_NEEDS_INDEX"):
                    pytest.fail(f"slskd-api {version} cannot be installed: {trouble}")
                pytest.skip(f"slskd-api {version} is not there and no package index can be reached: {trouble}")
            shutil.copytree(temporary, f"{temporary}.whole")
            try:
                os.rename(f"{temporary}.whole", folder)
            except OSError:  # another worker was first
                shutil.rmtree(f"{temporary}.whole")
    return folder


def _install(version: str, folder: Path) -> str:
    """Empty when it worked, else why not."""
    trouble = ""
    for python in (sys.executable, "python3"):
        command = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--retries", "1"]
        try:
            done = subprocess.run(
                [*command, "--target", str(folder), f"slskd-api=={version}"],
                capture_output=True,
                text=True,
                timeout=INSTALL_S_MAX,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            trouble = str(error)
            continue
        if done.returncode == 0:
            return ""
        trouble = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
    return trouble
