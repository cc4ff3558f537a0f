"""The walk through the API that the README links: its commands, run by a shell one after the other."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.daemon.daemons import running
from tests.e2e.program import Shoal
from tests.http_mirrors.box import Character, Content, mirrors

pytestmark = pytest.mark.long

WALKTHROUGH = Path(__file__).parent / "api_walkthrough.sh"
CONFIG = "[daemon]\nallow_private_sources = true\n"
SIZE = "21721524"


def test_every_command_about_the_api_works(shoal: Shoal) -> None:
    script = WALKTHROUGH.read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith("api ") for line in script) >= 10
    content = Content(2_000_000, seed=3)
    with mirrors([Character(rate_bytes_s=4e5)] * 2, content) as box, running(shoal, config=CONFIG) as daemon:
        text = "\n".join(["set -euo pipefail", *script])
        for said, meant in {
            "~/.local/state/shoal": str(daemon.state),
            "http://127.0.0.1:5030": daemon.url,
            "https://mirror-a.example/tide.flac": box.urls[0],
            "https://mirror-b.example/tide.flac": box.urls[1],
            SIZE: str(content.size),
        }.items():
            assert said in text
            text = text.replace(said, meant)
        done = subprocess.run(
            ["bash", "-c", text], env=os.environ | {"HOME": "/nowhere"}, capture_output=True, text=True, timeout=50
        )
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr}"
        assert '"state":"sealed"' in done.stdout
        assert content.matches(shoal.folder.parent / "downloads" / "shore.flac")
