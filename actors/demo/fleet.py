"""Demonstration of a fleet: a broker, an S3 server and three daemons on this machine fetch one file together.

Everything lives in a temporary folder and ends with this program. The daemons are the real ones, in processes of their
own; each mirror is slow, and each node takes the parts that it can get while the others take theirs.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from hashlib import file_digest
from pathlib import Path
from typing import Any, Final

from actors.demo.content import Content
from actors.demo.mirrors.box import MirrorBox
from actors.demo.mirrors.mirror import Behavior as MirrorBehavior
from actors.demo.page import API, DemoDaemon
from actors.fleet.brokers import Brokers, BucketServer, ProgramMissing
from protocol.cli.parsing import DemoOptions
from protocol.cli.views.outcome import ExitCode
from protocol.model.errors import BadUsage
from protocol.model.units import show_rate, show_size

NODES: Final = ("ann", "bob", "eva")
BUCKET: Final = "demo-bucket"
CONTENT: Final = Content(192 << 20, seed=2024)
FILE: Final = "harbour-lights.iso"
JOB_S_MAX: Final = 180.0
READY_S_MAX: Final = 90.0
"""Three daemons start at the same time."""
LOOK_S: Final = 0.5
MEGABYTE: Final = 1_000_000
MIRRORS: Final = {
    "north": MirrorBehavior(rate_bytes_s=5.0 * MEGABYTE),
    "south": MirrorBehavior(rate_bytes_s=4.0 * MEGABYTE, latency_s=0.05),
    "west": MirrorBehavior(rate_bytes_s=3.0 * MEGABYTE, latency_s=0.1),
    "slow": MirrorBehavior(rate_bytes_s=1.0 * MEGABYTE, latency_s=0.2),
}

CONFIG: Final = """
[daemon]
state = "{folder}/state"
downloads = "{folder}/downloads"
allow_private_sources = true
max_active_jobs = 16
[api]
port = 0
[fleet]
servers = ["{broker}"]
name = "demo"
node = "{node}"
destination = "s3://{bucket}"
endpoint = "{s3}"
access_key = "demo"
secret_key = "demo"
"""


def fleet_demo(options: DemoOptions) -> int:
    """Run the demonstration; return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # nothing of it must outlive this program
    with ExitStack() as leaving:
        folder = Path(leaving.enter_context(tempfile.TemporaryDirectory(prefix="shoal-demo-")))
        try:
            broker = leaving.enter_context(Brokers(folder / "broker")).start()
            bucket = leaving.enter_context(BucketServer(folder / "s3", BUCKET)).start()
        except ProgramMissing as missing:
            raise BadUsage(f"demo --fleet: {missing} (or 'shoal[fleet]', which has all of them)") from None
        box = leaving.enter_context(MirrorBox(MIRRORS, CONTENT, FILE))
        _say(options, f"a broker ({broker.urls[0]}), an S3 server ({bucket.url}) and {len(MIRRORS)} slow mirrors")
        daemons = [_daemon(folder / name, name, broker, bucket, leaving) for name in NODES]
        for name, daemon in zip(NODES, daemons, strict=True):
            try:
                daemon.ready(READY_S_MAX)
            except RuntimeError as error:
                _say(options, f"node {name}: {error}")
                return ExitCode.OUR_FAULT
            _say(options, f"  node {name} at {daemon.url}")
        job = _joined(daemons[0], len(NODES)) and _fetched(options, daemons[0], list(box.urls))
        if not job or job["state"] != "sealed":
            _say(options, f"the file was not fetched: {job['reason'] if job else 'the nodes do not join'}")
            return ExitCode.NO_SOURCE
        with (bucket.folder / FILE).open("rb") as file:
            same = file_digest(file, "sha256").hexdigest() == CONTENT.sha256
        _say(options, f"sha256 {CONTENT.sha256}")
        _say(
            options,
            f"content: {'the same as' if same else 'NOT the same as'} the original; sealed by {job['sealedBy']}",
        )
        view = daemons[0].ask("GET", f"{API}/fleet")
        _say(options, f"through the broker: {show_size(view['busBytes'])} at node {NODES[0]}")
        return ExitCode.SEALED if same else ExitCode.DISAGREED


def _daemon(folder: Path, name: str, broker: Brokers, bucket: BucketServer, leaving: ExitStack) -> DemoDaemon:
    folder.mkdir()
    settings = CONFIG.format(folder=folder, broker=broker.urls[0], node=name, bucket=BUCKET, s3=bucket.url)
    daemon = DemoDaemon(folder, settings)
    leaving.callback(daemon.close)
    return daemon


def _joined(daemon: DemoDaemon, count: int) -> bool:
    until_s = time.monotonic() + JOB_S_MAX
    while time.monotonic() < until_s:
        view = daemon.ask("GET", f"{API}/fleet")
        if len(view["nodes"]) == count and view["leader"]:
            return True
        time.sleep(LOOK_S)
    return False


def _fetched(options: DemoOptions, daemon: DemoDaemon, urls: list[str]) -> Any:
    """Order the file and say how it goes until it ends; return the job, None when it is late."""
    order = {"filename": FILE, "sources": [{"url": url} for url in urls]}
    id = daemon.ask("POST", f"{API}/fleet/jobs", order)["id"]
    begun_s, until_s, shown = time.monotonic(), time.monotonic() + JOB_S_MAX, ""
    while time.monotonic() < until_s:
        job = next((row for row in daemon.ask("GET", f"{API}/fleet/jobs") if row["id"] == id), None)
        view = daemon.ask("GET", f"{API}/fleet")
        rates = ", ".join(f"{node['name']} {show_rate(round(node['rateBytesS']))}" for node in view["nodes"])
        line = f"{job['state']}: {job['partsStored']} of {job['parts']} parts" if job else "ordered"
        if line != shown:
            _say(options, f"  {line:<28} {rates}")
            shown = line
        if job and job["state"] in ("sealed", "failed", "cancelled"):
            took_s = time.monotonic() - begun_s
            _say(options, f"{took_s:.1f} s, {show_rate(round(CONTENT.size / took_s))}")
            return job
        time.sleep(LOOK_S)
    return None


def _say(options: DemoOptions, line: str) -> None:
    if not options.quiet:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
