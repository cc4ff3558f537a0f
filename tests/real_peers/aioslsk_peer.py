"""A real aioslsk client as an uploader on a private server, in its own process.

    with aioslsk_peer(box, "a1", folder) as peer:
        path = box_search_finds(...)         # aioslsk makes the root of a shared folder's remote paths up
        assert [upload.state for upload in peer.uploads()] == ["COMPLETE"]

Needs the whole of aioslsk with what it depends on, not only its protocol.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from actors.demo.child_process import Child, ChildError, Fields, read_request, reply, serve_requests
from actors.runtime.free_ports import free_ports
from protocol.model.value import Closing
from tests.soulseek_network.network import Network

READY_S_MAX: Final = 20.0


@dataclass(frozen=True, slots=True)
class Listed:
    """One row of its list of uploads; it keeps one a user and file, however often that is asked for."""

    user: str
    path: str
    state: str
    bytes_sent: int


class AioslskPeer(Closing):
    """Owns the process, which ends with `close` or with this process."""

    def __init__(self, box: Network, name: str, folder: Path, slots: int, upload_kib_s: int) -> None:
        self.name = name
        (self.port,) = free_ports(1)
        self._child = Child("tests.real_peers.aioslsk_peer")
        fields = {
            "server_port": box.server_port, "name": name, "port": self.port, "folder": str(folder.resolve()),
            "slots": slots, "upload_kib_s": upload_kib_s,
        }  # fmt: skip
        self._child.request(fields)

    @property
    def pid(self) -> int:
        return self._child.pid

    def uploads(self) -> list[Listed]:
        """Its list of uploads at this moment."""
        return [Listed(**fields) for fields in self._child.request({"do": "uploads"})["uploads"]]

    def log(self) -> str:
        """What it has logged: warnings and worse."""
        return self._child.stderr_text()

    def close(self) -> None:
        """End the process; more than once does no harm."""
        self._child.close()


def aioslsk_peer(box: Network, name: str, folder: Path, *, slots: int = 2, upload_kib_s: int = 0) -> AioslskPeer:
    """Start one that shares `folder` and wait until searches find it; 0 KiB/s is no limit. Raises ChildError."""
    peer = AioslskPeer(box, name, folder, slots, upload_kib_s)
    if not box.shares(name, s_max=READY_S_MAX):
        said = peer.log()
        peer.close()
        raise ChildError(f"{name} shares nothing: {said[-1000:]}")
    return peer


def installed() -> bool:
    """Whether the whole client can be imported."""
    return all(importlib.util.find_spec(needed) is not None for needed in ("aioslsk", "pydantic_settings", "aiofiles"))


def on_loopback() -> None:
    """Let clients of this process listen on 127.0.0.1 only; aioslsk knows no setting for it."""
    vars(importlib.import_module("aioslsk.network.network"))["DEFAULT_LISTENING_HOST"] = "127.0.0.1"


def client_for(fields: Fields, *, downloads: Path | None = None) -> Any:
    """A client, not yet started, for a private server: no UPnP, no parents, nothing obfuscated."""
    settings: Any = importlib.import_module("aioslsk.settings")
    shares: dict[str, Any] = {"scan_on_start": True, "download": str(downloads or Path(fields["folder"]))}
    if "folder" in fields:
        shares["directories"] = [{"path": fields["folder"]}]
    made = settings.Settings(
        credentials={"username": fields["name"], "password": "box"},
        network={
            "server": {
                "hostname": "127.0.0.1",
                "port": fields["server_port"],
                "reconnect": {"auto": True, "timeout": 1},
            },
            "listening": {"port": fields["port"], "obfuscated_port": 0},
            "upnp": {"enabled": False},
            "limits": {"upload_speed_kbps": fields.get("upload_kib_s", 0)},
        },
        shares=shares,
        transfers={"limits": {"upload_slots": fields.get("slots", 2)}},
    )
    return importlib.import_module("aioslsk.client").SoulSeekClient(made)


async def _serve(fields: Fields) -> None:
    client = client_for(fields)
    await client.start()
    await client.login()
    reply({})

    async def do(line: Fields) -> Fields:
        rows = client.transfers.get_uploads()
        return {
            "uploads": [
                {
                    "user": row.username,
                    "path": row.remote_path,
                    "state": row.state.VALUE.name,
                    "bytes_sent": row.bytes_transfered,
                }
                for row in rows
            ]
        }

    await serve_requests(do)


def main() -> None:
    """Serve until stdin ends."""
    on_loopback()
    asyncio.run(_serve(read_request()))


if __name__ == "__main__":
    main()
