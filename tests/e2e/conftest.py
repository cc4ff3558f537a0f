"""The program for every test, and the look afterwards whether anything of it is left."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.program import Shoal


@pytest.fixture
def shoal(tmp_path: Path) -> Iterator[Shoal]:
    """The program with an empty folder to work in. After the test nothing of it may be left."""
    folder = tmp_path / "work"
    folder.mkdir()
    made = Shoal(folder)
    try:
        yield made
        made.check()
    finally:
        made.clean_up()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 KB; it can be remounted larger, or read-only."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("may not mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
