"""Files that a request crosses: ``python -m tests.bench.request_path``.

The API and the job manager of a daemon run in one process, under their two names on the message bus. A job is posted
once to load everything; then every file of ours in which a Python call is made is noted, from the next request to its
answer, in the order in which they are entered first. The claim is at most 20.
"""

import asyncio
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
ROOMS = tuple(f"{ROOT / name}/" for name in ("actors", "protocol", "storage"))
FILES_MAX = 20
entered: dict[str, None] = {}
noting = threading.Event()


def note(frame: FrameType, event: str, _argument: Any) -> None:
    """Profile hook of every thread."""
    if event == "call" and noting.is_set() and frame.f_code.co_filename.startswith(ROOMS):
        entered.setdefault(frame.f_code.co_filename.removeprefix(f"{ROOT}/"))


@contextmanager
def daemon(folder: str, loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    """The application of an API whose job manager stands beside it."""
    from actors.api.gateway_actor import GatewayActor, Outbox
    from actors.job_manager import JobManager
    from actors.runtime.actor import stop_actors
    from actors.runtime.message_bus import MessageBus
    from protocol.config.settings import ApiSettings, DaemonSettings, Settings
    from protocol.http_api.app import build_app
    from protocol.http_api.gateway import Gateway
    from protocol.messages.addresses import GATEWAY
    from protocol.model.job_policy import JobPolicy

    buses = [MessageBus(name, folder) for name in ("jobs", "api")]
    for bus in buses:
        bus.bind()
    manager = JobManager.start(buses[0], f"{folder}/jobs.sqlite", JobPolicy(), fresh=True)
    outbox = Outbox(buses[1])
    settings = Settings(daemon=DaemonSettings(state=folder, downloads=folder), api=ApiSettings(authentication=False))
    gateway = Gateway(settings, address=GATEWAY, post=outbox.post)
    mailbox = GatewayActor.start(buses[1], loop, gateway.receive)
    for bus in buses:
        bus.start()
    gateway.watch()
    try:
        yield build_app(gateway)
    finally:
        outbox.close()
        stop_actors([mailbox, manager], timeout_s=5.0)
        for bus in buses:
            bus.close()


async def order(client: httpx.AsyncClient, name: str) -> None:
    """Post a job for a mirror and wait for the answer."""
    body = {"filename": name, "fileSize": 1 << 20, "sources": [{"url": f"http://mirror.example/{name}"}]}
    answer = await client.post("/api/v0/multisource/download", json=body)
    assert answer.status_code in (200, 201, 202), answer.text


async def measure(app: Any) -> None:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        await order(client, "first.bin")
        await asyncio.sleep(1.5)  # what follows the first, and the tick
        noting.set()
        await order(client, "second.bin")
        noting.clear()


def main() -> int:
    threading.setprofile(note)
    sys.setprofile(note)
    loop = asyncio.new_event_loop()
    with tempfile.TemporaryDirectory() as folder, daemon(folder, loop) as app:
        loop.run_until_complete(measure(app))
    sys.setprofile(None)
    print("\n".join(entered))
    print(f"{len(entered)} files from the request to its answer")
    return 0 if len(entered) <= FILES_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
