"""A Soulseek network in a box: a server and uploaders with characters on 127.0.0.1, in two processes of their own.

with network({"fast": Character(rate_bytes_s=8e6), "gone": Character(offline=True)}, Content(1 << 24)) as box:
    download(box.urls, server=("127.0.0.1", box.server_port))   # as any user, with any password
    assert box.counts()["fast"].stops <= 1
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from actors.demo.child_process import Child, ChildError
from actors.demo.content import Content
from actors.demo.soulseek.shares import remote_path, term_for
from protocol.model.value import Closing
from tests.http_mirrors.box import described
from tests.soulseek_network.behavior import Character
from tests.soulseek_network.counters import Count, Sent

__all__ = ["Character", "ChildError", "Content", "Count", "Network", "Sent", "network"]

FILE_NAME = "01 - Tide.flac"


def network(
    characters: Mapping[str, Character] | Iterable[Character],
    content: Content | Path = Content(1 << 20),  # noqa: B008 - frozen
    *,
    file_name: str = FILE_NAME,
    passwords: Mapping[str, str] | None = None,
) -> Network:
    """Start a server and one uploader for each character, all sharing `content` as `file_name` in folders of their own.

    Nameless characters are called u0, u1, ... Any user may log in with any password, but those in `passwords` only with
    theirs. The box is ready when this returns: every uploader is logged in. Close it, or use it in `with`.
    Raises ChildError.
    """
    if not isinstance(characters, Mapping):
        characters = {f"u{index}": character for index, character in enumerate(characters)}
    return Network(characters, content, file_name, passwords or {})


class Network(Closing):
    """Owns the two processes, which end with `close` or with this process, however that ends."""

    def __init__(
        self,
        characters: Mapping[str, Character],
        content: Content | Path,
        file_name: str,
        passwords: Mapping[str, str],
    ) -> None:
        self.content = content
        self.file_name = file_name
        self.server_host = "127.0.0.1"
        self.names = list(characters)
        self._server = Child("tests.soulseek_network.processes", "server")
        self._peers = Child("tests.soulseek_network.processes", "uploaders")
        try:
            self.server_port: int = self._server.request({"passwords": dict(passwords)})["port"]
            peers = {name: asdict(character) for name, character in characters.items()}
            config = {"content": described(content), "file_name": file_name, "server_port": self.server_port}
            self._ports: dict[str, int] = self._peers.request({**config, "peers": peers})["ports"]
        except ChildError:
            self.close()
            raise

    @property
    def term(self) -> str:
        """A search for this finds the file, and its decoys, at every uploader."""
        return term_for(self.file_name)

    @property
    def urls(self) -> list[str]:
        """Every uploader's file, in the order given."""
        return [self.url(name) for name in self.names]

    def url(self, name: str) -> str:
        """`slsk://user/percent-encoded-remote-path`."""
        return f"slsk://{quote(name, safe='')}/{quote(self.remote_path(name), safe='')}"

    def remote_path(self, name: str) -> str:
        """Where this uploader has the file, with backslashes."""
        return remote_path(name, self.file_name)

    def port(self, name: str) -> int:
        """The uploader's listening port; closed when it is firewalled."""
        return self._ports[name]

    @property
    def pids(self) -> list[int]:
        """The server's process, then the uploaders'."""
        return [self._server.pid, self._peers.pid]

    def cpu_s(self) -> float:
        """CPU time that the uploaders have used since they began."""
        return float(self._peers.request({"do": "cpu"})["cpu_s"])

    def counts(self) -> dict[str, Count]:
        """What each uploader has seen and done up to now."""
        return {name: Count.from_fields(fields) for name, fields in self._peers.request({"do": "counts"}).items()}

    def become(self, name: str, character: Character) -> None:
        """Give an uploader, dead or alive, a new life on its old port; its counts go on."""
        self._peers.request({"do": "become", "name": name, "character": asdict(character)})

    def join(self, name: str, character: Character) -> None:
        """Let one more uploader come online."""
        self._ports[name] = self._peers.request({"do": "join", "name": name, "character": asdict(character)})["port"]
        self.names.append(name)

    def die(self, name: str) -> None:
        """Let an uploader reset all its connections and be gone."""
        self._peers.request({"do": "die", "name": name})

    def leave(self, name: str) -> None:
        """Let an uploader log out in good order."""
        self._peers.request({"do": "leave", "name": name})

    def refuse_logins(self, reason: str | None = "INVALIDPASS") -> None:
        """Answer every login with this reason; None lets them in again. Sessions go on."""
        self._server.request({"do": "refuse_logins", "reason": reason})

    def vanish_server(self) -> None:
        """Reset every session and refuse connections, until `return_server`."""
        self._server.request({"do": "vanish"})

    def return_server(self) -> None:
        """Listen again on the old port; uploaders come back by themselves within a second."""
        self._server.request({"do": "return"})

    def drop_session(self, name: str) -> bool:
        """Reset one user's session without a word; whether there was one."""
        return bool(self._server.request({"do": "drop", "name": name})["was_there"])

    def online(self) -> list[str]:
        """All users who are logged in, uploaders and others."""
        return list(self._state()["online"])

    def searches(self) -> list[tuple[str, str]]:
        """Every search since the box began: who and for what."""
        return [(user, query) for user, query in self._state()["searches"]]

    def logins(self) -> int:
        """How many logins the server has accepted, the uploaders' included."""
        return int(self._state()["logins"])

    def wait_for(self, name: str, *, online: bool = True, s_max: float = 10.0) -> None:
        """Return when this user is logged in, or is not. Raises TimeoutError."""
        if not self._server.request({"do": "wait", "name": name, "online": online, "s_max": s_max})["came"]:
            raise TimeoutError(f"{name} is {'not ' if online else ''}online after {s_max} s")

    def shares(self, name: str, s_max: float = 10.0) -> bool:
        """Return True as soon as this user (one of the box or not) has announced at least one shared file."""
        return bool(self._server.request({"do": "wait_for_shares", "name": name, "s_max": s_max})["came"])

    def said(self) -> str:
        """What both processes wrote to stderr: nothing, unless the box itself is broken."""
        return self._server.stderr_text() + self._peers.stderr_text()

    def close(self) -> None:
        """End the processes and everything they have; more than once does no harm."""
        self._peers.close()
        self._server.close()

    def _state(self) -> Any:
        return self._server.request({"do": "state"})
