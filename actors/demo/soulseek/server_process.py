"""The process of the box's server: `Server`, told by its owner when to be unkind."""

from __future__ import annotations

import asyncio

from actors.demo.child_process import Told, first_line, obey, raise_open_files_limit, reply
from actors.demo.soulseek.server import Server


async def _do(server: Server, told: Told) -> Told:
    match told["do"]:
        case "refuse_logins":
            server.refusal = told["reason"]
        case "vanish":
            server.vanish()
        case "return":
            await server.open()
        case "drop":
            return {"was_there": server.drop(told["name"])}
        case "wait":
            return {"came": await server.wait_for(told["name"], online=told["online"], s_max=told["s_max"])}
        case "wait_for_shares":
            return {"came": await server.wait_for_shares(told["name"], s_max=told["s_max"])}
        case "state":
            return {"online": server.online(), "searches": server.searches, "logins": server.logins}
    return {}


async def _serve(told: Told) -> None:
    server = Server(told["passwords"])
    await server.open()
    reply({"port": server.port})
    await obey(lambda line: _do(server, line))


def main() -> None:
    """Serve until stdin ends."""
    raise_open_files_limit()
    asyncio.run(_serve(first_line()))


if __name__ == "__main__":
    main()
