"""Builder of the `api` process, and its settings.

The front imports this module to make the settings, so nothing of what the process is made of is imported at the top.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from actors.runtime.process import InheritedFd, ProcessActors, ProcessContext
from protocol.config.settings import Settings

if TYPE_CHECKING:
    from protocol.http_api.gateway import Documents

STUCK_S: Final = 60.0
"""A process whose event loop has not turned for this time answers no pings any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiStart:
    """Settings of the api process.

    `listener` is a listening socket that belongs to the front, so that no client is refused while this process is
    replaced. `absent` names the processes that this daemon does not have, with the reason for each. `login_token` opens
    one session in the first such process; empty: none. `documents` gets what an order goes by besides its body.
    """

    settings: Settings
    listener: InheritedFd
    absent: dict[str, str] = field(default_factory=dict)
    login_token: str = ""
    documents: "Documents | None" = None


def build(context: ProcessContext) -> ProcessActors:
    """Start the gateway, its actor and the server. `context.settings` is an `ApiStart`."""
    import asyncio
    import socket
    import time

    from actors.api.gateway_actor import GatewayActor, Outbox
    from actors.api.server import HttpServer
    from actors.runtime.actor import stop_actors
    from protocol.http_api.app import build_app
    from protocol.http_api.gateway import Gateway
    from protocol.http_api.login_state import TOKEN_S
    from protocol.messages import StopProcess
    from protocol.messages.addresses import GATEWAY, root_address

    start: ApiStart = context.settings
    bus = context.bus
    loop = asyncio.new_event_loop()
    outbox = Outbox(bus)
    gateway = Gateway(
        start.settings,
        address=GATEWAY,
        post=outbox.post,
        first_number=(context.generation + 1) << 32,
        documents=start.documents,
    )
    gateway.away.update(start.absent)
    if start.login_token and context.generation == 0:  # a later process does not know whether it was used
        gateway.login_tokens.add(start.login_token, until_s=time.monotonic() + TOKEN_S)
    mailbox = GatewayActor.start(bus, loop, gateway.receive)

    def beat() -> None:
        bus.overdue_s["http"] = time.monotonic() + STUCK_S

    server = HttpServer(
        build_app(gateway),
        socket.socket(fileno=start.listener.fd),
        loop,
        beat=beat,
        ended=lambda: bus.post(root_address(bus.process), StopProcess()),
    )
    server.start()
    gateway.watch()

    def stop() -> None:
        server.stop(gateway.close)
        outbox.close()
        stop_actors([mailbox], timeout_s=1.0)

    return ProcessActors(stop=stop)
