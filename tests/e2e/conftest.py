"""The program for every test, and the look afterwards whether anything of it is left."""

from __future__ import annotations

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
