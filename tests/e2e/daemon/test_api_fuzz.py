"""schemathesis against the running daemon: no 5xx, no answer other than the document says."""

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.e2e.daemon.daemons import running
from tests.e2e.program import Shoal
from tests.http_mirrors.box import Character as Mirror
from tests.http_mirrors.box import Content as File
from tests.http_mirrors.box import mirrors
from tests.protocol.http_api.fuzzing import fuzz
from tests.soulseek_network.network import Character, Content, network

CASES_MIN = 2000
SEED = int(os.environ.get("SHOAL_FUZZ_SEED", "20261125"))
SECRET = "s3cr3t"
CONFIG = """
[daemon]
allow_private_sources = true
log_level = "error"

[soulseek]
username = "me"
password = "{secret}"
server = "{users.server_host}"
port = {users.server_port}
bind = "127.0.0.1"
searches = 1000
sharing = false
"""


@pytest.mark.long
@pytest.mark.timeout(900)
def test_two_thousand_made_up_requests_are_answered_as_the_document_says(
    shoal: Shoal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`SHOAL_FUZZ_SEED` decides what is sent. Counted are requests whose answers were checked."""
    with (
        mirrors([Mirror(rate_bytes_s=1e6)], File(1_000_000, seed=1)) as box,
        network({"ann": Character(rate_bytes_s=1e6)}, Content(300_000, seed=2), passwords={"me": SECRET}) as users,
        running(shoal, config=CONFIG.format(secret=SECRET, users=users), SHOAL_API_PORT="0") as daemon,
    ):
        mirror = box.urls[0]
        done = fuzz(
            daemon.url, daemon.client.headers["X-API-Key"], tmp_path, examples=8, seed=SEED, mirror=mirror, wait_s=850
        )
        answer = f"seed {SEED}: {done.cases} cases, {done.operations} operations"
        with capsys.disabled():
            sys.stdout.write(f"\n{answer}\n")
        shown = f"{answer}\n{done.output[-20_000:]}"
        assert done.code == 0, shown
        assert done.cases >= CASES_MIN, shown
        assert done.report["complete"], shown
        assert daemon.get("/health/ready")["status"] == "ready"
        daemon.process.signal(signal.SIGTERM)
        assert daemon.process.process.wait(timeout=40) == 0, "it ends in order after all this"
