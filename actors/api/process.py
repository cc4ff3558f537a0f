"""What the `api` process is made of."""

import asyncio
import socket
import time

from actors.api.gateway_actor import GatewayActor, Outbox
from actors.api.server import HttpServer
from actors.api.start import ApiStart
from actors.runtime.actor import stop_actors
from actors.runtime.process import ProcessActors, ProcessContext
from protocol.http_api.app import build_app
from protocol.http_api.gateway import Gateway
from protocol.messages import StopProcess
from protocol.messages.addresses import GATEWAY, root_address

STUCK_S: float = 60.0
"""A loop that has not turned for so long makes the process one that answers no pings."""


def build(context: ProcessContext) -> ProcessActors:
    """The desk, its mailbox and the server. `context.settings` is an `ApiStart`."""
    start: ApiStart = context.settings
    bus = context.bus
    loop = asyncio.new_event_loop()
    outbox = Outbox(bus)
    desk = Gateway(start.settings, address=GATEWAY, post=outbox.post, first_number=(context.generation + 1) << 32)
    desk.away.update(start.absent)
    mailbox = GatewayActor.start(bus, loop, desk.arrived)

    def beat() -> None:
        bus.overdue_s["http"] = time.monotonic() + STUCK_S

    server = HttpServer(
        build_app(desk),
        socket.socket(fileno=start.listener.fd),
        loop,
        beat=beat,
        ended=lambda: bus.post(root_address(bus.process), StopProcess()),
    )
    server.start()
    desk.watch()

    def stop() -> None:
        server.stop(desk.close)
        outbox.close()
        stop_actors([mailbox], timeout_s=1.0)

    return ProcessActors(stop=stop)
