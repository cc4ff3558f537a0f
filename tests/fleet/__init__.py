"""Fleet for tests and benches: real daemons as nodes, and a site that serves a sparse file fast and counts."""

import http.client
import re
import signal
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped,unused-ignore]

from actors.demo.page import API, DemoDaemon
from protocol.model.value import Closing

READY_S_MAX: Final = 90.0
LOOK_S: Final = 0.1

CONFIG: Final = """
[daemon]
state = "{folder}/state"
downloads = "{folder}/downloads"
allow_private_sources = true
max_active_jobs = 32
[api]
port = 0
[fleet]
servers = [{servers}]
name = "test"
node = "{node}"
destination = "{destination}"
endpoint = "{endpoint}"
access_key = "test"
secret_key = "test"
{more}
"""


class Fleet(Closing):
    """Daemons that are nodes of one fleet, each below `root`."""

    def __init__(
        self, root: Path, servers: tuple[str, ...], destination: str, *, endpoint: str = "", more: str = ""
    ) -> None:
        self._root = root
        self._servers = ", ".join(f'"{each}"' for each in servers)
        self._destination = destination
        self._endpoint = endpoint
        self._more = more
        self._daemons: dict[str, DemoDaemon] = {}

    @property
    def names(self) -> list[str]:
        return list(self._daemons)

    def add(self, name: str, *, before: Sequence[str] = (), more: str = "") -> None:
        """Start a node, or one that was killed again: its state is where it was.

        `before`: words before its command; `more`: of its configuration.
        """
        folder = self._root / name
        folder.mkdir(exist_ok=True)
        settings = CONFIG.format(
            folder=folder,
            servers=self._servers,
            node=name,
            destination=self._destination,
            endpoint=self._endpoint or "https://s3.example.org",
            more=self._more + more,
        )
        if not self._destination.startswith("s3://"):  # a folder
            settings = re.sub(r"(endpoint|access_key|secret_key) = .*\n", "", settings)
        self._daemons[name] = DemoDaemon(folder, settings, before=before)

    def ask(self, name: str, method: str, path: str, body: Any = None) -> Any:
        return self._daemons[name].ask(method, path, body)

    def view(self) -> Any:
        return self.ask(self.names[0], "GET", f"{API}/fleet")

    def jobs(self) -> list[Any]:
        found: list[Any] = self.ask(self.names[0], "GET", f"{API}/fleet/jobs?limit=1000")
        return found

    def job(self, id: str) -> Any:
        return next((row for row in self.jobs() if row["id"] == id), None)

    def ready(self) -> None:
        """Wait until all nodes answer."""
        for daemon in self._daemons.values():
            daemon.ready(READY_S_MAX)

    def joined(self, count: int, *, within_s: float = READY_S_MAX) -> None:
        self.ready()
        self.until(lambda: len(self.view()["nodes"]) == count and bool(self.view()["leader"]), within_s, "joined")

    def order(self, name: str, urls: list[str], *, size: int | None = None, nodes: int = 1000, **more: Any) -> str:
        sources = [{"url": url} for url in urls]
        order = {"filename": name, "sources": sources, "fileSize": size, "nodes": nodes, **more}
        id: str = self.ask(self.names[0], "POST", f"{API}/fleet/jobs", order)["id"]
        return id

    def why(self, id: str) -> list[str]:
        """Return what is said to hold a job back."""
        return [each["text"] for each in self.ask(self.names[0], "GET", f"{API}/fleet/jobs/{id}/why")["bindings"]]

    def ended(self, id: str, *, within_s: float) -> Any:
        """Return the job once it has ended."""

        def over() -> bool:
            job = self.job(id)
            return job is not None and job["state"] in ("sealed", "failed", "cancelled")

        self.until(over, within_s, f"{id} has not ended")
        return self.job(id)

    def reached(self, id: str, *, parts: int, within_s: float) -> None:
        """Wait until a given number of parts are at the destination."""
        self.until(lambda: (self.job(id) or {"partsStored": 0})["partsStored"] >= parts, within_s, "parts")

    def alone(self, *, within_s: float = 60.0) -> None:
        """Wait until a node says that no broker is connected."""
        self.until(lambda: self.view()["state"] == "alone" and bool(self.view()["text"]), within_s, "alone")

    def said(self, id: str, words: str, *, within_s: float) -> None:
        """Wait until a job has a reason with these words."""
        self.until(lambda: words in (self.job(id)["reason"] or ""), within_s, f"{words!r} was not said")

    def another_leader(self, old: str, *, within_s: float) -> float:
        """Return when another node leads."""
        self.until(lambda: self.view()["leader"] not in ("", None, old), within_s, "no other leader")
        return time.monotonic()

    def kill(self, name: str, number: int) -> None:
        """Send a signal to a daemon and all its processes at once; a deadly one takes it off the list."""
        front = psutil.Process(self._daemons[name].pid)
        tree = [front, *front.children(recursive=True)]
        for each in tree:
            with suppress(psutil.NoSuchProcess):
                each.send_signal(number)
        if number == signal.SIGKILL:
            psutil.wait_procs(tree, timeout=10)
            self._daemons.pop(name).close()

    def close(self) -> None:
        with ExitStack() as leaving:
            for daemon in self._daemons.values():
                leaving.callback(daemon.close)

    def until(self, reached: Any, within_s: float, what: str) -> None:
        until_s = time.monotonic() + within_s
        while time.monotonic() < until_s:
            with suppress(OSError, RuntimeError, http.client.HTTPException):
                if reached():
                    return
            time.sleep(LOOK_S)
        raise AssertionError(f"{what} after {within_s:.0f} s: {self.jobs()[:5]} {self.view()}")


class Site(Closing):
    """HTTP server of one file of `size` bytes: a sparse file, sent by the kernel, so that it costs next to nothing."""

    def __init__(self, size: int, *, host: str = "127.0.0.1", said: int = -1) -> None:
        """`said`: how large it says that the file is, where that is not so."""
        self.served = 0
        self.served_to = Counter[str]()
        """Bytes by the address of who asked, counted when all that was asked for is sent."""
        self._asked: dict[str, float] = {}
        self._lock = threading.Lock()
        self._file = tempfile.TemporaryFile(prefix="shoal-site-")  # noqa: SIM115 - closed in __exit__
        self._file.truncate(size)
        site, size = self, max(size, said)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
                start = int(found[1]) if found else 0
                stop = min(int(found[2]) + 1, size) if found and found[2] else size
                site._note(self.path)
                self.send_response(206 if found else 200)
                if found:
                    self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
                self.send_header("Content-Length", str(stop - start))
                self.send_header("ETag", '"1"')
                self.end_headers()
                self.wfile.flush()
                with suppress(OSError):
                    sent = self.connection.sendfile(site._file, start, stop - start)
                    with site._lock:
                        site.served += sent
                        site.served_to[self.client_address[0]] += sent

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Server((host, 0), Handler)
        self._server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
        self.url = f"http://{host}:{self._server.server_port}/big.bin"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def asked(self, query: str, *, within_s: float) -> float:
        """Return when an address with this query was first asked for."""
        until_s = time.monotonic() + within_s
        while time.monotonic() < until_s:
            with self._lock:
                if query in self._asked:
                    return self._asked[query]
            time.sleep(0.005)
        raise AssertionError(f"{query} was not asked for")

    def _note(self, path: str) -> None:
        with self._lock:
            self._asked.setdefault(f"?{path.partition('?')[2]}", time.monotonic())

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._file.close()
